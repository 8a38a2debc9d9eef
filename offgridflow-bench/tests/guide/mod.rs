//! A guide of `docs/adopt/`, run as it stands: a block of `sh` has to exit with 0, or with one of those beside it (`exit-1-3`), and one that
//! names a program (`critcmp`) is run where that is installed; a block of `text` is what the block before it wrote, each line up to its `…`.

#![allow(unreachable_pub, reason = "part of a test")]
use std::path::{Path, PathBuf};

/// The guide; none outside of the repository.
pub fn text(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/adopt").join(name);
    let text = std::fs::read_to_string(path).ok();
    if text.is_none() {
        eprintln!("SKIP the guide is not part of the package");
    }
    text
}

/// Where the command under test is found first.
pub fn path() -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_offgridflow-bench"));
    format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default())
}

fn installed(program: &str) -> bool {
    std::env::split_paths(&path()).any(|folder: PathBuf| folder.join(program).is_file())
}

/// What of a guide does not hold; `run` gives exit status and all that was said.
pub fn faults(guide: &str, run: impl Fn(&str) -> (i32, String)) -> Vec<String> {
    let (mut faults, mut wrote) = (Vec::new(), String::new());
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(said) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (language, beside) = said.split_once(' ').unwrap_or((said, ""));
        match language {
            "sh" => {
                let expected = beside.strip_prefix("exit-");
                if expected.is_none() && !beside.is_empty() && !installed(beside) {
                    eprintln!("SKIP {beside} is not installed");
                    continue;
                }
                let (status, all) = run(&block.join("\n"));
                let mut expected = expected.unwrap_or("0").split('-');
                if !expected.any(|one| one == status.to_string()) {
                    faults.push(format!(
                        "exit status {status}, beside it {beside:?}: {}: {all}",
                        block.join("; ")
                    ));
                }
                wrote = all;
            }
            "text" => {
                let starts = block.iter().map(|line| line.split('…').next().unwrap_or_default().trim_end());
                let missing = starts.filter(|start| !wrote.lines().any(|line| line.starts_with(start)));
                faults.extend(missing.map(|line| format!("not written: {line} in {wrote}")));
            }
            other => faults.push(format!("nobody runs `{other}`")),
        }
    }
    faults
}
