use std::collections::BTreeMap;
use std::fmt;

use super::date::day;
use super::figure::{newest, number};
use super::promise;
use super::{Figure, Goals, Judgement, Promise};
use crate::history::{Blessing, HistoryOptions, Movement, Record, findings, series};

/// The page of measurements: targets, figures, and the course over the commits. It says what its records say and nothing else, so that it can be
/// made again and compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Document<'a> {
    /// What is asked of the figures.
    pub goals: Goals<'a>,
    /// Every figure there is; of each name the newest is shown.
    pub figures: &'a [Figure],
    /// The history of benchmarks.
    pub history: &'a [Record],
    /// Slow-downs that are meant.
    pub blessings: &'a [Blessing],
    /// What is promised; each is on the page, measured or not.
    pub promises: &'a [Promise],
    /// What measurements of promises said; of each promise the newest is shown.
    pub judgements: &'a [Judgement],
}

impl Document<'_> {
    /// Where `text` is not this page: the first line that differs, counted from 1, what it says, and what it should say.
    #[must_use]
    pub fn difference(&self, text: &str) -> Option<(usize, String, String)> {
        let made = self.to_string();
        if made == text {
            return None;
        }
        let (mut said, mut should) = (text.split('\n'), made.split('\n'));
        (1..).find_map(|nth| match (said.next(), should.next()) {
            (said, should) if said != should => {
                let words = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
                Some((nth, words(said), words(should)))
            }
            _ => None,
        })
    }

    /// Figures shown that were measured before `moment`, in seconds since 1970.
    #[must_use]
    pub fn older_than(&self, moment: u64) -> Vec<&Figure> {
        newest(self.figures).into_values().filter(|figure| figure.at < moment).collect()
    }
}

impl fmt::Display for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newest = newest(self.figures);
        let judged = promise::newest(self.judgements);
        let of_figures = newest.values().map(|figure| figure.machine.as_str());
        let of_judgements = judged.values().map(|judgement| judgement.machine.as_str());
        let machines = Machines::of(of_figures.chain(of_judgements), self.history);
        writeln!(f, "# Performance benchmarks\n")?;
        writeln!(
            f,
            "Made by `offgridflow-bench docs` from records; `offgridflow-bench docs --check` fails where this page says anything else."
        )?;
        self.targets(&newest, f)?;
        self.promises(&judged, &machines, f)?;
        figures(&newest, &machines, f)?;
        self.course(&machines, f)?;
        machines.list(f)
    }
}

impl Document<'_> {
    fn targets(&self, newest: &BTreeMap<&str, &Figure>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = |figure: Option<&&Figure>| figure.map_or("–".to_owned(), |figure| figure.words());
        if !self.goals.targets.is_empty() {
            writeln!(f, "\n## Targets\n\n| target | wanted | measured | |\n|---|---|---|---|")?;
        }
        for target in self.goals.targets {
            let figure = newest.get(target.figure.as_str());
            let (name, status) = (cell(target.name.get_ref()), target.status(figure.copied()));
            writeln!(f, "| {name} | {} | {} | {status} |", target.words(), measured(figure))?;
        }
        if !self.goals.triggers.is_empty() {
            writeln!(f, "\n## When more should run\n\n| trigger | fires | measured | |\n|---|---|---|---|")?;
        }
        for trigger in self.goals.triggers {
            let figure = newest.get(trigger.figure.as_str());
            let (name, status) = (cell(&trigger.name), trigger.status(figure.copied()));
            writeln!(f, "| {name} | {} | {} | {status} |", trigger.words(), measured(figure))?;
        }
        Ok(())
    }

    /// Each promise with what its newest measurement said; those that nothing says anything of are named once more in front.
    fn promises(
        &self,
        judged: &BTreeMap<&str, &Judgement>,
        machines: &Machines<'_>,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        if self.promises.is_empty() {
            return Ok(());
        }
        let judgement = |promise: &Promise| judged.get(promise.id.as_str()).copied();
        let is_open = |promise: &&Promise| !judgement(promise).is_some_and(Judgement::is_measured);
        let open: Vec<_> = self.promises.iter().filter(is_open).map(|promise| promise.id.as_str()).collect();
        writeln!(f, "\n## Promises\n")?;
        match open.len() {
            0 => writeln!(f, "Each of {} has a record.", self.promises.len())?,
            many => writeln!(
                f,
                "No record of a measurement: {many} of {}: {}.",
                self.promises.len(),
                open.join(", ")
            )?,
        }
        writeln!(
            f,
            "\n| promise | target | measured | control | | commit | date | machine |\n|---|---|---|---|---|---|---|---|"
        )?;
        for promise in self.promises {
            let (id, target) = (cell(&promise.id), cell(&promise.target));
            match (judgement(promise), &promise.later) {
                (Some(said), _) => {
                    let (measured, control) = (cell(&said.measured), cell(&said.control));
                    let (words, commit, date) = (said.words(), short(&said.commit), day(said.at));
                    let machine = machines.letter(&said.machine);
                    writeln!(
                        f,
                        "| {id} | {target} | {measured} | {control} | {words} | `{commit}` | {date} | {machine} |"
                    )?;
                }
                (None, Some(later)) => {
                    writeln!(f, "| {id} | {target} | – | – | comes with {} | – | – | – |", cell(later))?;
                }
                (None, None) => writeln!(f, "| {id} | {target} | – | – | no record | – | – | – |")?,
            }
        }
        Ok(())
    }

    /// The newest ratio of each benchmark to its anchor, and what was found over the commits.
    fn course(&self, machines: &Machines<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.history.is_empty() {
            return Ok(());
        }
        let mut last: BTreeMap<&str, (&Record, u64)> = BTreeMap::new();
        for record in self.history {
            let entry = last.entry(&record.bench).or_insert((record, 0));
            *entry = (record, entry.1 + 1);
        }
        writeln!(
            f,
            "\n## Course over the commits\n\n| benchmark | over its anchor | 95 % interval | records | commit | anchor | date | machine |\n|---|---|---|---|---|---|---|---|"
        )?;
        for (bench, (record, records)) in last {
            let ratio = number(record.ln_ratio.exp());
            let end = |spread: f64| number((record.ln_ratio + 1.96 * spread).exp());
            let interval = record
                .spread
                .map_or("–".to_owned(), |spread| format!("{} to {}", end(-spread), end(spread)));
            let (bench, commit, anchor) = (cell(bench), short(&record.commit), short(&record.anchor));
            let (date, machine) = (day(record.at), machines.letter(&record.machine));
            writeln!(
                f,
                "| {bench} | {ratio} | {interval} | {records} | `{commit}` | `{anchor}` | {date} | {machine} |"
            )?;
        }
        self.movements(f)
    }

    fn movements(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut commits: Vec<String> = Vec::new();
        for record in self.history {
            if !commits.contains(&record.commit) {
                commits.push(record.commit.clone());
            }
        }
        let (series, _) = series(self.history, &commits);
        for found in findings(&series, self.blessings, &HistoryOptions::default()) {
            let how = match found.movement {
                Movement::Step => "step",
                Movement::Drift => "drift",
            };
            let change = 100.0 * found.ln_change.exp_m1();
            let accepted =
                found.blessed.as_ref().map_or(String::new(), |reason| format!("; accepted: {reason}"));
            let (from, to) = (short(&found.before), short(&found.after));
            writeln!(f, "\n- {}: {how} of {change:+.1} % from `{from}` to `{to}`{accepted}", found.bench)?;
        }
        Ok(())
    }
}

fn figures(
    newest: &BTreeMap<&str, &Figure>,
    machines: &Machines<'_>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if newest.is_empty() {
        return writeln!(f, "\nNothing was measured yet.");
    }
    writeln!(
        f,
        "\n## Figures\n\n| figure | value | 95 % interval | n | commit | date | machine | from |\n|---|---|---|---|---|---|---|---|"
    )?;
    for (name, figure) in newest {
        let value = super::figure::with_unit(figure.value, &figure.unit);
        let interval = figure.interval().unwrap_or_else(|| "–".to_owned());
        let (n, commit, date) = (figure.n, short(&figure.commit), day(figure.at));
        let (machine, from) = (machines.letter(&figure.machine), cell(&figure.from));
        writeln!(
            f,
            "| {} | {value} | {interval} | {n} | `{commit}` | {date} | {machine} | {from} |",
            cell(name)
        )?;
    }
    Ok(())
}

/// Kinds of machines, by letters, in alphabetical order.
struct Machines<'a>(Vec<&'a str>);

impl<'a> Machines<'a> {
    fn of(measured: impl Iterator<Item = &'a str>, history: &'a [Record]) -> Self {
        let mut all: Vec<&str> =
            measured.chain(history.iter().map(|record| record.machine.as_str())).collect();
        all.sort_unstable();
        all.dedup();
        Self(all)
    }

    fn letter(&self, machine: &str) -> String {
        self.0
            .iter()
            .position(|known| *known == machine)
            .map_or_else(String::new, |nth| format!("M{}", nth + 1))
    }

    fn list(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## Machines\n")?;
        self.0.iter().try_for_each(|machine| {
            let words = if machine.is_empty() { "not recorded" } else { *machine };
            writeln!(f, "- {}: {words}", self.letter(machine))
        })
    }
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// Text that does not end a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Settings;

    fn figure(name: &str, value: f64) -> Figure {
        Figure {
            n: 600,
            commit: "0123456789abcdef".to_owned(),
            at: 1_796_000_000,
            machine: "x86_64 2 × some".to_owned(),
            from: "probe".to_owned(),
            ..Figure::new(name, value, "ms").between(Some((value - 1.0, value + 1.0)))
        }
    }

    #[test]
    fn the_page_says_what_each_figure_rests_on() {
        let text = "[[target]]\nname = 'p|95'\nfigure = 'a'\nunit = 'ms'\nat-most = 20.0\n[[target]]\nname = 'memory'\nfigure = 'rss'\nunit = 'MiB'\nat-most = 9.0\n[[trigger]]\nname = 'latency'\nfigure = 'a'\nunit = 'ms'\nabove = 8.0";
        let settings = Settings::parse("b.toml", text).unwrap();
        let record = Record {
            commit: "c".repeat(40),
            anchor: "a".repeat(40),
            bench: "p/t: b".to_owned(),
            ln_ratio: 0.1,
            spread: Some(0.01),
            nanoseconds: None,
            machine: "x86_64 8 × other".to_owned(),
            at: 0,
        };
        let (figures, history) = ([figure("a", 12.0)], [record]);
        let promise = |id: &str, later: Option<&str>| Promise {
            id: id.to_owned(),
            target: "0 lost".to_owned(),
            later: later.map(str::to_owned),
        };
        let promises = [promise("S1", None), promise("S2", None), promise("S3", Some("winter"))];
        let judged = |said: &str, at: u64| Judgement {
            promise: "S1".to_owned(),
            said: said.to_owned(),
            measured: "3|lost".to_owned(),
            control: "a mutant".to_owned(),
            size: "full".to_owned(),
            commit: "d".repeat(40),
            at,
            machine: "x86_64 8 × other".to_owned(),
        };
        let judgements = [judged("FAIL", 86_400), judged("PASS", 0)];
        let page = Document {
            goals: settings.goals(),
            figures: &figures,
            history: &history,
            promises: &promises,
            judgements: &judgements,
            ..Document::default()
        }
        .to_string();
        for line in [
            "| p\\|95 | at most 20 ms | 12 ms (11 to 13) | met |",
            "| memory | at most 9 MiB | – | not measured |",
            "| latency | above 8 ms | 12 ms (11 to 13) | fires |",
            "| a | 12 ms | 11 to 13 | 600 | `0123456789ab` | 2026-11-30 | M1 | probe |",
            "| p/t: b | 1.105 | 1.084 to 1.127 | 1 | `cccccccccccc` | `aaaaaaaaaaaa` | 1970-01-01 | M2 |",
            "- M2: x86_64 8 × other",
            "No record of a measurement: 2 of 3: S2, S3.",
            "| S1 | 0 lost | 3\\|lost | a mutant | broken | `dddddddddddd` | 1970-01-02 | M2 |",
            "| S2 | 0 lost | – | – | no record | – | – | – |",
            "| S3 | 0 lost | – | – | comes with winter | – | – | – |",
        ] {
            assert!(page.lines().any(|one| one == line), "{line}\n{page}");
        }
    }

    #[test]
    fn a_digit_that_was_edited_is_named_with_its_line() {
        let settings = Settings::default();
        let figures = [figure("a", 12.0)];
        let document = Document { goals: settings.goals(), figures: &figures, ..Document::default() };
        let page = document.to_string();
        assert_eq!(document.difference(&page), None);
        let (line, said, should) = document.difference(&page.replace("12 ms", "10 ms")).unwrap();
        assert!(
            line > 5 && said.contains("| 10 ms |") && should.contains("| 12 ms |"),
            "{line} {said} {should}"
        );
        assert_eq!(document.difference(&format!("{page}A line more.\n")).unwrap().1, "A line more.");
        let cut = page.split_once("\n- M1").unwrap().0;
        assert_eq!(document.difference(cut).unwrap().1, "(the end)");
        assert_eq!(document.older_than(1_796_000_001).len(), 1);
        assert!(document.older_than(1_796_000_000).is_empty());
    }
}
