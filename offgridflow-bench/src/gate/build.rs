use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Cancel, GateError};

/// How both sides are built.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// The cargo folder inside the tree.
    pub(crate) folder: PathBuf,
    /// Where cargo builds; the same for both sides, so that no path differs.
    pub(crate) target: PathBuf,
    /// The user's arguments to `cargo bench`.
    pub(crate) cargo: Vec<String>,
    /// Leaves code generation as the project sets it.
    pub(crate) as_is: bool,
    /// Environment variables that hold a build stamp: the same constant on both sides.
    pub(crate) stamps: Vec<String>,
    /// Link orders; 1 is the linker's own.
    pub(crate) layouts: usize,
    /// The gate's folder.
    pub(crate) home: PathBuf,
}

/// A benchmark program of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Executable {
    /// `package/target`.
    pub(crate) name: String,
    /// The file, kept apart from what cargo builds next.
    pub(crate) file: PathBuf,
    /// The same, linked in other orders.
    pub(crate) layouts: Vec<PathBuf>,
    /// The folder of its package: where cargo would start it.
    pub(crate) folder: PathBuf,
}

/// What a build gave.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) executables: Vec<Executable>,
    /// Targets that were not built, each with the features it needs.
    pub(crate) skipped: Vec<String>,
    /// `rustc -vV`, first line.
    pub(crate) compiler: String,
}

impl Recipe {
    /// Builds the benchmarks of what stands in the tree and moves them into `keep`.
    pub(crate) fn build(&self, side: &str, keep: &Path, cancel: &Cancel) -> Result<Built, GateError> {
        let mut command = self.cargo_bench();
        super::layout::shuffle(&mut command, self.layouts, &self.home, &self.host())?;
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let output =
            cancel.output(command).map_err(|error| GateError::Setup(format!("cannot run cargo: {error}")))?;
        cancel.check()?;
        if !output.status.success() {
            return Err(GateError::Setup(format!(
                "the {side} does not build ({}); cargo's own words are above",
                output.status
            )));
        }
        let found = artifacts(&String::from_utf8_lossy(&output.stdout));
        fs::create_dir_all(keep).map_err(|error| GateError::write(keep, &error))?;
        let executables = found.into_iter().map(|one| self.keep(one, keep)).collect::<Result<Vec<_>, _>>()?;
        let built: BTreeSet<&str> = executables.iter().map(|one| one.name.as_str()).collect();
        let skipped = self.unbuilt(&built);
        Ok(Built { executables, skipped, compiler: self.compiler() })
    }

    fn cargo_bench(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .current_dir(&self.folder)
            .arg("bench")
            .args(&self.cargo)
            .args(["--no-run", "--message-format=json-render-diagnostics"]);
        command.env("CARGO_TARGET_DIR", &self.target).env_remove("CARGO_MANIFEST_DIR");
        if !self.as_is {
            command.args(["--config", "profile.bench.codegen-units=1"]);
        }
        for stamp in &self.stamps {
            command.env(stamp, "masked");
        }
        command
    }

    /// Copies an executable out of cargo's reach, under a name of its own.
    fn keep(&self, found: Executable, keep: &Path) -> Result<Executable, GateError> {
        let copy = |from: &Path, name: String| {
            let file = keep.join(name);
            fs::copy(from, &file).map_err(|error| GateError::write(&file, &error))?;
            Ok::<_, GateError>(file)
        };
        let name = found.name.replace('/', "--");
        let others = super::layout::copies(&found.file, self.layouts);
        let layouts = others.iter().zip(1..).map(|(from, nth)| copy(from, format!("{name}.layout{nth}")));
        let layouts = layouts.collect::<Result<_, _>>()?;
        Ok(Executable { file: copy(&found.file, name)?, layouts, ..found })
    }

    /// `rustc -vV`; empty when it does not answer.
    fn rustc(&self) -> String {
        let output = Command::new("rustc").arg("-vV").current_dir(&self.folder).output();
        output.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default()
    }

    fn host(&self) -> String {
        let text = self.rustc();
        text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned()
    }

    fn compiler(&self) -> String {
        self.rustc().lines().next().map_or_else(|| "rustc unknown".to_owned(), str::to_owned)
    }

    /// Benchmark targets of the workspace that want features which were not asked for. Silent when cargo does not answer.
    fn unbuilt(&self, built: &BTreeSet<&str>) -> Vec<String> {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.folder).args(["metadata", "--no-deps", "--format-version", "1"]);
        let Ok(output) = command.stderr(Stdio::null()).output() else { return Vec::new() };
        let Ok(metadata) = serde_json::from_slice::<Value>(&output.stdout) else { return Vec::new() };
        let mut skipped = Vec::new();
        for package in list(&metadata, "packages") {
            for target in list(package, "targets").iter().filter(|target| is_bench(target)) {
                let name = format!("{}/{}", text(package, "name"), text(target, "name"));
                let features: Vec<&str> =
                    list(target, "required-features").iter().filter_map(Value::as_str).collect();
                if !features.is_empty() && !built.contains(name.as_str()) {
                    skipped.push(format!("{name} was not built: it needs --features {}", features.join(",")));
                }
            }
        }
        skipped
    }
}

/// The benchmark executables among cargo's messages, by name. What is not JSON, or of another kind, is left out.
fn artifacts(messages: &str) -> Vec<Executable> {
    let mut found: Vec<Executable> =
        messages.lines().filter_map(|line| artifact(&serde_json::from_str(line).ok()?)).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn artifact(message: &Value) -> Option<Executable> {
    let target = message.get("target")?;
    if !is_bench(target) {
        return None;
    }
    let file = message.get("executable")?.as_str()?.into();
    let manifest = Path::new(message.get("manifest_path")?.as_str()?);
    let folder = manifest.parent()?.to_owned();
    Some(Executable {
        name: format!("{}/{}", package_of(text(message, "package_id"))?, text(target, "name")),
        file,
        layouts: Vec::new(),
        folder,
    })
}

/// The package's name in a package id: `path+file:///a/b/name#1.0.0`, `…/b#name@1.0.0`, or the older `name 1.0.0 (…)`.
fn package_of(id: &str) -> Option<&str> {
    match id.rsplit_once('#') {
        Some((_, named)) if named.contains('@') => named.split('@').next(),
        Some((path, _)) => path.rsplit('/').next(),
        None => id.split(' ').next(),
    }
}

fn is_bench(target: &Value) -> bool {
    list(target, "kind").iter().any(|kind| kind == "bench")
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benchmark_executables_are_found_among_cargos_messages() {
        let message = |kind: &str, id: &str, executable: &str| {
            serde_json::json!({"reason": "compiler-artifact", "package_id": id, "manifest_path": "/w/p/Cargo.toml",
                "target": {"kind": [kind], "name": "speed"}, "executable": executable}).to_string()
        };
        let text = [
            message("bench", "path+file:///w/p#0.1.0", "/t/speed-1"),
            message("lib", "path+file:///w/p#0.1.0", "/t/lib-1"),
            "warning: not JSON".to_owned(),
            message("bench", "path+file:///w/q#other@0.1.0", "/t/speed-2"),
        ]
        .join("\n");
        let found = artifacts(&text);
        assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["other/speed", "p/speed"]);
        assert_eq!(found[1].folder, Path::new("/w/p"));
        assert_eq!(package_of("old 0.1.0 (path+file:///x)"), Some("old"));
    }
}
