//! `docs/tour.md` against what the demonstration prints: each line that is shown there is printed, numbers aside.

use std::process::Command;

/// How often a machine that was too busy for the load is asked again.
const TRIES: usize = 3;

/// A line with its numbers as `#`, so that two runs say the same.
fn shape(line: &str) -> String {
    let mut shape: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let number = !word.starts_with('/') && word.contains(|letter: char| letter.is_ascii_digit());
        let word = if number { "#" } else { word };
        if word != "#" || shape.last() != Some(&"#") {
            shape.push(word);
        }
    }
    shape.join(" ")
}

/// Lines of the tour that nothing begins like.
fn missing(tour: &str, printed: &str) -> Vec<String> {
    let printed: Vec<_> = printed.lines().map(shape).collect();
    let (mut missing, mut shown) = (Vec::new(), false);
    for line in tour.lines() {
        match line.strip_prefix("```") {
            Some(language) => shown = language == "text",
            None if shown => {
                let start = shape(line.split('…').next().unwrap_or_default());
                if !printed.iter().any(|line| line.starts_with(&start)) {
                    missing.push(line.to_owned());
                }
            }
            None => {}
        }
    }
    missing
}

/// What the demonstration prints, with the words of a machine that was free.
fn demonstration() -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut printed = String::new();
    for _ in 0..TRIES {
        let output = Command::new(env!("CARGO_BIN_EXE_offgridflow"))
            .args(["demo", "--seconds", "4", "--rate", "300", "--out"])
            .arg(folder.path())
            .env_remove("OFFGRIDFLOW_DATABASE_URL")
            .env("OFFGRIDFLOW_LOG", "warn")
            .output()
            .unwrap();
        printed = String::from_utf8(output.stdout).unwrap();
        let folder = folder.path().display().to_string();
        printed = printed.replace(&folder, "target/demo");
        assert!(printed.contains("\nverdict: "), "{}", String::from_utf8_lossy(&output.stderr));
        if printed.contains("\nverdict: Valid") {
            return printed;
        }
    }
    let verdict = printed.lines().last().unwrap_or_default().to_owned();
    assert!(verdict.starts_with("verdict: GeneratorBound"), "{printed}");
    printed.replace("\nnot judged  ", "\nmet         ").replace(&verdict, "verdict: Valid")
}

#[test]
fn the_tour_shows_what_is_printed() {
    let tour = include_str!("../../docs/tour.md");
    let printed = demonstration();
    assert_eq!(missing(tour, &printed), [""; 0], "of what was printed:\n{printed}");
    assert!(tour.lines().filter(|line| *line == "```text").count() >= 6, "the tour lost its parts");
    // And nothing that is printed under a name of its own goes unmentioned.
    let named = printed.lines().filter_map(|line| line.split("  ").next()).filter(|name| !name.is_empty());
    for name in named.filter(|name| name.chars().all(|letter| letter.is_ascii_lowercase() || letter == ' ')) {
        assert!(tour.contains(name), "the tour does not speak of `{name}`");
    }
}

/// The control: a line that is not printed is found.
#[test]
fn a_tour_of_something_else_is_found() {
    let tour =
        "```text\nwriter       6925 rows committed in 432 flushes\nseats        4 taken…\n```\nseats\n";
    let printed = "writer       7 rows committed in 1 flushes, 0 rejected\n";
    assert_eq!(missing(tour, printed), ["seats        4 taken…"]);
}
