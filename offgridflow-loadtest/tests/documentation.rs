//! What `docs/loadtest/`, and of `docs/adopt/` the guide for who comes from k6 or wrk, say is run as it stands there, against a server of this test's own; its Rust is run as doc tests.
//!
//! A block of `sh` has to exit with 0, or with what stands beside it (`exit-1`), and is run where the program beside it (`wrk`) is installed; a block of `toml` is a file of the name beside it; a
//! block of `text` is what the block before it wrote, each line up to its `…`; of a block of `yaml` its steps (`- run: …`) have to exit with 0. Commands within a line are parsed without being run.
#![cfg(feature = "cli")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use common::Server;

/// Where documents say that the service is.
const THERE: &str = "127.0.0.1:8080";
/// How a run ends that this machine was too busy for. Nothing is judged then, and its report exits with 3 whenever it is shown.
const STARVED: &str = "verdict: GeneratorBound";
/// How often a machine that was too busy to generate a load is asked again.
const TRIES: usize = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/loadtest")
}

/// A block between fences.
struct Block<'a> {
    language: &'a str,
    beside: &'a str,
    text: String,
    line: usize,
}

/// Whether another tool is here; nothing is asked for by no name.
fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    program.is_empty() || std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The blocks, and the lines outside of them.
fn parse(document: &str) -> (Vec<Block<'_>>, Vec<&str>) {
    let (mut blocks, mut prose, mut open): (Vec<Block<'_>>, Vec<&str>, bool) = Default::default();
    for (at, line) in document.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(said), false) => {
                let (language, beside) = said.split_once(' ').unwrap_or((said, ""));
                blocks.push(Block { language, beside, text: String::new(), line: at + 1 });
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => blocks.last_mut().expect("an open block").text += &format!("{line}\n"),
            (None, false) => prose.push(line),
        }
    }
    (blocks, prose)
}

/// A folder and a server for one document.
struct Bench {
    server: Server,
    folder: tempfile::TempDir,
    help: String, // of every part
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            server: Server::start(),
            folder: tempfile::tempdir().expect("folder"),
            help: String::new(),
        };
        for part in ["run", "search", "steps", "compare", "merge", "report", "init", "selftest"] {
            bench.help += &bench.run(&format!("offgridflow-loadtest {part} --help")).1;
        }
        bench
    }

    fn placed(&self, text: &str) -> String {
        text.replace(THERE, &self.server.addr.to_string())
    }

    /// Exit code, and what was written to both streams.
    fn run(&self, script: &str) -> (i32, String) {
        let binary = Path::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", binary.parent().expect("a folder").display());
        let Output { status, stdout, stderr } = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &self.placed(script)])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .output()
            .expect("bash");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (status.code().unwrap_or(-1), text(stderr) + &text(stdout))
    }

    /// What of a document does not hold.
    fn faults(&self, document: &str) -> Vec<String> {
        let (blocks, prose) = parse(document);
        let (mut faults, mut wrote, mut starved) = (Vec::new(), String::new(), false);
        for (at, block) in blocks.iter().enumerate() {
            let place = format!("line {}", block.line);
            match block.language {
                "sh" if !block.beside.starts_with("exit-") && !installed(block.beside) => {
                    eprintln!("SKIP {} is not installed", block.beside);
                }
                "sh" => {
                    let expected: i32 =
                        block.beside.strip_prefix("exit-").map_or(0, |code| code.parse().expect("a code"));
                    let (code, said) = self.unstarved(&block.text);
                    starved |= code == 3 && said.contains(STARVED);
                    if code != expected && !(starved && code == 3) {
                        faults.push(format!("{place}: exit code {code}, not {expected}: {said}"));
                    }
                    wrote = said;
                }
                "toml" => {
                    fs::write(self.folder.path().join(block.beside), self.placed(&block.text))
                        .expect("a name");
                    let used =
                        |later: &Block<'_>| later.language == "sh" && later.text.contains(block.beside);
                    if !blocks[at..].iter().any(used) {
                        faults.push(format!("{place}: nothing is done with {}", block.beside));
                    }
                }
                "text" => {
                    let wrote = if starved {
                        wrote.replace("\nnot judged  ", "\nmet         ")
                    } else {
                        wrote.clone()
                    };
                    let missing = missing(&self.placed(&block.text), &wrote);
                    faults.extend(missing.iter().map(|line| format!("{place}: not written: {line}")));
                }
                "yaml" => {
                    for command in block.text.lines().filter_map(|line| line.trim().strip_prefix("- run: ")) {
                        let (code, said) = self.unstarved(command);
                        starved |= code == 3 && said.contains(STARVED);
                        if code != 0 && !(starved && code == 3) {
                            faults.push(format!("{place}: exit code {code}, not 0: {command}: {said}"));
                        }
                    }
                }
                "rust" | "js" => {} // a doc test; another tool's
                language => faults.push(format!("{place}: nobody runs `{language}`")),
            }
        }
        faults.extend(prose.iter().flat_map(|line| self.inline(line)));
        faults
    }

    fn unstarved(&self, script: &str) -> (i32, String) {
        let mut result = self.run(script);
        for _ in 1..TRIES {
            if result.0 != 3 || !result.1.contains(STARVED) {
                break;
            }
            result = self.run(script);
        }
        result
    }

    /// Commands in a line are understood, and flags in the last column of a table exist.
    fn inline(&self, line: &str) -> Vec<String> {
        let spans = |text: &str| -> Vec<String> {
            text.split('`').skip(1).step_by(2).map(|span| span.replace("FILE", "x")).collect()
        };
        let commands = spans(line).into_iter().filter(|span| span.starts_with("offgridflow-loadtest "));
        let parsed = commands.filter_map(|command| {
            let extra = if command.contains(" run ") { "--dry-run" } else { "--help" };
            let (code, said) = self.run(&format!("{command} {extra}"));
            (code != 0).then(|| format!("`{command}`: {said}"))
        });
        let mut faults: Vec<_> = parsed.collect();
        if let Some(last) = line.strip_suffix(" |").and_then(|row| row.rsplit(" | ").next()) {
            let help = &self.help;
            let spans = spans(last);
            let flags = spans.iter().flat_map(|span| span.split_whitespace());
            let flags = flags.filter(|flag| flag.starts_with("--"));
            faults.extend(
                flags
                    .filter(|flag| [' ', '[', '\n'].iter().all(|end| !help.contains(&format!("{flag}{end}"))))
                    .map(|flag| format!("there is no {flag}: {line}")),
            );
        }
        faults
    }
}

/// Lines of `told` of which nothing that was written begins alike.
fn missing(told: &str, wrote: &str) -> Vec<String> {
    let begins = |start: &str| wrote.lines().any(|line| line.starts_with(start));
    let starts = told.lines().map(|line| line.split('…').next().unwrap_or_default().trim_end());
    starts.filter(|start| !start.is_empty() && !begins(start)).map(str::to_owned).collect()
}

/// A document of the guide; none outside of the repository.
fn document(name: &str) -> Option<String> {
    let text = fs::read_to_string(folder().join(name)).ok();
    if text.is_none() {
        eprintln!("SKIP the guide is not part of the package");
    }
    text
}

fn holds(name: &str, blocks: usize) {
    let Some(text) = document(name) else { return };
    assert!(parse(&text).0.len() >= blocks, "{name} lost its snippets");
    assert_eq!(Bench::new().faults(&text), Vec::<String>::new(), "{name}");
}

#[test]
fn five_minutes_are_as_they_stand_there() {
    holds("five-minutes.md", 11);
}

#[test]
fn the_report_reads_as_its_document_says() {
    holds("reading-the-report.md", 3);
}

#[test]
fn what_other_tools_say_has_the_counterpart_that_is_named() {
    holds("coming-from.md", 3);
}

#[test]
fn how_many_requests_is_found_as_it_stands_there() {
    holds("how-many-requests.md", 2);
}

#[test]
fn the_guide_for_who_comes_from_k6_or_wrk_runs_as_it_stands() {
    holds("../adopt/from-k6-or-wrk.md", 4);
}

/// Its Rust is a doc test (`InCi` in `lib.rs`).
#[test]
fn a_pipeline_loads_as_it_stands_there() {
    holds("in-ci.md", 6);
}

#[test]
fn many_machines_are_merged_as_it_stands_there() {
    holds("many-machines.md", 4);
}

/// Its experiment is a doc test (`WrongPercentiles` in `lib.rs`).
#[test]
fn the_document_on_percentiles_holds_its_experiment() {
    holds("wrong-percentiles.md", 1);
    let Some(text) = document("wrong-percentiles.md") else { return };
    let (blocks, _) = parse(&text);
    assert!(
        blocks.iter().any(|block| block.language == "rust" && block.text.contains("start_paused = true"))
    );
}

#[test]
fn links_lead_somewhere() {
    let Ok(files) = fs::read_dir(folder()) else {
        return eprintln!("SKIP the guide is not part of the package");
    };
    for file in files.map(|entry| entry.expect("entry").path()) {
        let text = fs::read_to_string(&file).expect("text");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            assert!(
                path.starts_with("https://") || folder().join(path).exists(),
                "{}: {target}",
                file.display()
            );
        }
    }
}

/// The control: what does not hold is found.
#[test]
fn a_snippet_that_breaks_is_found() {
    let bench = Bench::new();
    for (document, fault) in [
        ("```sh\nfalse\n```\n", "exit code 1, not 0"),
        ("```sh exit-1\ntrue\n```\n", "exit code 0, not 1"),
        ("```sh\noffgridflow-loadtest run http://127.0.0.1:8080 --no-such-flag\n```\n", "exit code 2"),
        ("```sh\necho one\n```\n\n```text\none\ntwo …\n```\n", "not written: two"),
        ("```toml a.toml\n[target]\n```\n", "nothing is done with a.toml"),
        ("```yaml\nsteps:\n  - run: true\n  - run: false\n```\n", "exit code 1, not 0: false"),
        ("```python\n1\n```\n", "nobody runs `python`"),
        ("`offgridflow-loadtest run http://127.0.0.1:8080 --rat 5`\n", "--rat"),
        ("| a | `--no-such` |\n", "there is no --no-such"),
    ] {
        let faults = bench.faults(document);
        assert!(faults.len() == 1 && faults[0].contains(fault), "{document}: {faults:?}");
    }
    assert_eq!(
        bench.faults("```sh\noffgridflow-loadtest --version\n```\n```text\noffgridflow-loadtest …\n```\n"),
        [""; 0]
    );
    assert_eq!(bench.server.requests(), 0, "nothing was loaded");
}
