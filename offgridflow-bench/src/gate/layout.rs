//! Several link orders of one program: where functions lie is an effect of the build that no coin undoes, so a finding should hold in more
//! than one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::GateError;

/// Links as asked and, of programs in cargo's `deps`, a copy more for each seed, functions shuffled. A linker that cannot shuffle makes no
/// copy; what an earlier link left is removed first.
const LINKER: &str = r#"#!/bin/sh
# Written by offgridflow-bench --layouts.
cc "$@" || exit $?
out= previous= shared=no
for argument in "$@"; do
  [ "$previous" != -o ] || out=$argument
  case $argument in -shared) shared=yes ;; esac
  previous=$argument
done
case $out in */deps/*) ;; *) exit 0 ;; esac
[ "$shared" = no ] || exit 0
rm -f "$out".layout*
layout=1
while [ "$layout" -lt "${OFFGRIDFLOW_BENCH_LAYOUTS:-1}" ]; do
  cc "$@" "-Wl,--shuffle-sections=.text*=$layout" -o "$out.layout$layout" 2>/dev/null || { rm -f "$out".layout*; exit 0; }
  layout=$((layout + 1))
done
exit 0
"#;

/// Makes `command`, a cargo build, link programs in `layouts` orders.
pub(crate) fn shuffle(
    command: &mut Command,
    layouts: usize,
    home: &Path,
    host: &str,
) -> Result<(), GateError> {
    if layouts < 2 {
        return Ok(());
    }
    let script = home.join("linker.sh");
    if !fs::read_to_string(&script).is_ok_and(|text| text == LINKER) {
        fs::write(&script, LINKER).map_err(|error| GateError::write(&script, &error))?;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
            .map_err(|error| GateError::write(&script, &error))?;
    }
    let variable = format!("CARGO_TARGET_{}_LINKER", host.to_uppercase().replace('-', "_"));
    command.env(variable, &script).env("OFFGRIDFLOW_BENCH_LAYOUTS", layouts.to_string());
    Ok(())
}

/// The shuffled copies beside `program`, in order; none when one is not there.
pub(crate) fn copies(program: &Path, layouts: usize) -> Vec<PathBuf> {
    let copy = |layout: usize| {
        let mut name = program.as_os_str().to_owned();
        name.push(format!(".layout{layout}"));
        PathBuf::from(name)
    };
    let all: Vec<PathBuf> = (1..layouts).map(copy).collect();
    if all.iter().all(|copy| copy.is_file()) { all } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_all_there_or_none_counts() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("speed-1.2");
        let copy = |nth: usize| folder.path().join(format!("speed-1.2.layout{nth}"));
        fs::write(copy(1), "").unwrap();
        assert_eq!(copies(&program, 2), [copy(1)]);
        assert!(copies(&program, 3).is_empty() && copies(&program, 1).is_empty());
    }
}
