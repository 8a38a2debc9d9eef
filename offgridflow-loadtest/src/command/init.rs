//! A scenario to begin with.

use std::{fs, io::Write, path::Path};

use super::{arguments::Init, report_file::is_stdout};
use crate::{ConfigError, HttpTarget, Scenario};

const SCENARIO: &str = include_str!("scenario.toml");
const URL: &str = "http://127.0.0.1:8080";

/// Writes it, and says what to do next; to standard output it is what is said.
pub(super) fn write(init: &Init) -> Result<String, ConfigError> {
    HttpTarget::new(&init.url)?;
    if init.url.contains('@') {
        let hint = "credentials in it would stand in the file: write auth = { … } into [target], from the environment";
        return Err(ConfigError::new("--url", hint));
    }
    let text = SCENARIO.replace(URL, &init.url);
    Scenario::parse(&text)?.load_test().map(drop)?;
    if is_stdout(&init.file) {
        return Ok(text);
    }
    let named = |hint: String| ConfigError::new("", hint);
    let shown = init.file.display();
    put(&init.file, &text, init.force).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            named(format!("{shown} is there already: name another file, or --force"))
        }
        _ => named(format!("cannot write {shown}: {error}")),
    })?;
    Ok(format!(
        "wrote {shown}; next:\n  offgridflow-loadtest run {shown} --dry-run\n  offgridflow-loadtest run {shown}\n"
    ))
}

fn put(path: &Path, text: &str, replace: bool) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true);
    if replace {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines such as `# ramp_up = "5s"`, with their number from 0.
    fn proposals() -> impl Iterator<Item = (usize, &'static str)> {
        let is_proposal = |line: &&str| {
            let name = line.split(" = ").next().unwrap_or_default();
            line.contains(" = ")
                && !name.is_empty()
                && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        let lines = SCENARIO.lines().enumerate();
        lines
            .filter_map(|(at, line)| Some((at, line.strip_prefix("# ")?)))
            .filter(move |(_, line)| is_proposal(line))
    }

    /// Whatever it proposes in a comment is understood once the comment's mark is taken away.
    #[test]
    fn every_line_that_is_proposed_is_understood() {
        let mut count = 0;
        for (at, proposed) in proposals() {
            let lines: Vec<_> = SCENARIO
                .lines()
                .enumerate()
                .map(|(line, text)| if line == at { proposed } else { text })
                .collect();
            // What takes another's place cannot stand beside it.
            let name = proposed.split(" = ").next().unwrap_or_default();
            let stands = |line: &&&str| !(line.starts_with(&format!("{name} = ")) && **line != proposed);
            let text = lines.iter().filter(stands).copied().collect::<Vec<_>>().join("\n");
            if let Err(error) = Scenario::parse(&text) {
                panic!("{proposed}: {error}");
            }
            count += 1;
        }
        assert!(count > 20, "{count}");
    }
}
