//! The guides against the code beside this file, and against the answers that each has to give.

use std::fs;
use std::path::PathBuf;

/// A guide, and the code that runs what it shows.
const GUIDES: [(&str, &str); 4] = [
    ("from-moka.md", include_str!("moka.rs")),
    ("from-cached.md", include_str!("cached.rs")),
    ("from-redis-rs.md", include_str!("redis_rs.rs")),
    ("from-query-builder.md", include_str!("query_builder.rs")),
];
/// Guides whose snippets are commands: run by `offgridflow-bench/tests/gate_on_criterion.rs` and `offgridflow-loadtest/tests/documentation.rs`.
const COMMANDS: [&str; 2] = ["from-criterion.md", "from-k6-or-wrk.md"];
/// What who comes wants to know, in this order.
const QUESTIONS: [&str; 6] =
    ["Before", "After", "What changes", "What it costs", "What you lose", "How to back out"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/adopt")
}

/// Lines without their indentation, blank ones and hidden paths left out: how a block is looked for in a file.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// What rustfmt's line breaks make of the same code in a module is the same code.
fn flat(text: &str) -> String {
    lines(text).join(" ").replace("pub(crate) ", "").replace("( ", "(").replace(", )", ")").replace(",)", ")")
}

fn blocks(guide: &str) -> Vec<(&str, String)> {
    let (mut blocks, mut open): (Vec<(&str, String)>, bool) = (Vec::new(), false);
    for line in guide.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(language), false) => {
                blocks.push((language, String::new()));
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => blocks.last_mut().unwrap().1.push_str(&format!("{line}\n")),
            (None, false) => {}
        }
    }
    blocks
}

/// What of a guide nothing runs or answers.
fn faults(guide: &str, code: Option<&str>) -> Vec<String> {
    let asked = guide.lines().filter_map(|line| line.strip_prefix("## ")).collect::<Vec<_>>();
    let mut faults = Vec::new();
    if asked != QUESTIONS {
        faults.push(format!("it answers {asked:?}, not {QUESTIONS:?}"));
    }
    let blocks = blocks(guide);
    if let Some(code) = code {
        // A blank line parts what stands apart in the code, such as imports that the test does not need twice.
        let code = flat(code);
        for (language, text) in &blocks {
            match *language {
                "rust" => {
                    let missing = text.split("\n\n").filter(|part| !code.contains(&flat(part)));
                    faults.extend(missing.map(|part| format!("nothing runs\n{part}")));
                }
                "toml" => {}
                other => faults.push(format!("nothing runs a block of `{other}`")),
            }
        }
        if blocks.iter().filter(|(language, _)| *language == "rust").count() < 2 {
            faults.push("it lacks the lines before or after".to_owned());
        }
    }
    faults
}

#[test]
fn every_guide_answers_and_every_block_of_rust_is_run() {
    let names = GUIDES.map(|(name, code)| (name, Some(code)));
    for (name, code) in names.into_iter().chain(COMMANDS.map(|name| (name, None))) {
        let guide = fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(faults(&guide, code), Vec::<String>::new(), "{name}");
    }
    let known = GUIDES.len() + COMMANDS.len();
    let files = fs::read_dir(folder()).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_str().is_some_and(|name| name.starts_with("from-"))
    });
    assert_eq!(files.count(), known, "a guide that no test knows of");
}

/// Versions in manifests are those that the workspace has.
#[test]
fn manifests_name_what_there_is() {
    for name in GUIDES.map(|(name, _)| name) {
        let guide = fs::read_to_string(folder().join(name)).unwrap();
        let manifests = blocks(&guide).into_iter().filter(|(language, _)| *language == "toml");
        for (_, text) in manifests {
            for line in text.lines().filter(|line| line.starts_with("offgridflow-")) {
                let (dependency, rest) = line.split_once(" = ").unwrap();
                let manifest =
                    fs::read_to_string(folder().join("../..").join(dependency).join("Cargo.toml")).unwrap();
                let features = rest.split_once("features = [").map_or("", |(_, list)| list);
                for feature in features.split('"').skip(1).step_by(2) {
                    let there = manifest.lines().any(|line| line.starts_with(&format!("{feature} = [")));
                    assert!(there, "{name}: {dependency} has no feature {feature}");
                }
            }
        }
    }
}

/// The control: what nothing runs, and what is not answered, is found.
#[test]
fn a_guide_that_says_something_else_is_found() {
    let whole: String = QUESTIONS.map(|question| format!("## {question}\n")).concat();
    let block = "```rust\nlet one = 1;\n```\n";
    let code = "fn f() {\n    let one = 1;\n}\n";
    assert_eq!(faults(&format!("{whole}{block}{block}"), Some(code)), [""; 0]);
    for (guide, code, fault) in [
        (format!("{whole}{block}{block}"), "fn f() { let two = 2; }", "nothing runs\nlet one"),
        (format!("{whole}{block}"), code, "it lacks the lines"),
        (format!("## Before\n{block}{block}"), code, "it answers"),
        (format!("{whole}{block}{block}```sh\nls\n```\n"), code, "nothing runs a block of `sh`"),
    ] {
        let found = faults(&guide, Some(code));
        assert!(found.iter().any(|found| found.starts_with(fault)), "{guide}: {found:?}");
    }
}
