//! A report in the forms that were asked for.

use std::path::{Path, PathBuf};

use clap::Args;

use super::report_file::{ReportFile, is_stdout};
use crate::Report;

/// Other forms of a report.
#[derive(Debug, Args)]
pub(super) struct Forms {
    /// Also write the report as one HTML page with plots to this file, to hand around; `-` as for --json.
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Also write the report as JUnit XML to this file, for CI servers; `-` as for --json.
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Also write the report in Prometheus' text format to this file, for a textfile collector; `-` as for --json.
    #[arg(long, value_name = "FILE")]
    pub(super) prometheus: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The report as JSON.
    #[arg(value_name = "REPORT.json")]
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) forms: Forms,
}

/// One form of a report, on its way to a file.
pub(super) struct Form {
    file: ReportFile,
    render: Render,
}

type Render = fn(&Report) -> Result<String, String>;

/// What was asked for: the flag, its file, and how the report is written there.
pub(super) type Asked<'a> = (&'static str, Option<&'a PathBuf>, Render);

pub(super) fn json(report: &Report) -> Result<String, String> {
    report.to_json().map(|json| json + "\n").map_err(|error| error.to_string())
}

pub(super) fn html(report: &Report) -> Result<String, String> {
    Ok(report.to_html())
}

pub(super) fn junit(report: &Report) -> Result<String, String> {
    Ok(report.to_junit())
}

pub(super) fn prometheus(report: &Report) -> Result<String, String> {
    Ok(report.to_prometheus())
}

/// Tries all files, so that a wrong path costs no run.
pub(super) fn open(asked: &[Asked<'_>]) -> Result<Vec<Form>, String> {
    let named = asked.iter().filter_map(|&(flag, path, render)| Some((flag, path?, render)));
    named.map(|(flag, path, render)| Ok(Form { file: ReportFile::create(flag, path)?, render })).collect()
}

impl Show {
    pub(super) fn asked(&self) -> [Asked<'_>; 3] {
        self.forms.asked()
    }
}

impl Forms {
    pub(super) fn asked(&self) -> [Asked<'_>; 3] {
        [
            ("--html", self.html.as_ref(), html),
            ("--junit", self.junit.as_ref(), junit),
            ("--prometheus", self.prometheus.as_ref(), prometheus),
        ]
    }
}

impl Form {
    pub(super) fn write(self, report: &Report) -> Result<(), String> {
        self.file.write(&(self.render)(report)?)
    }
}

/// Two writers of one file would spoil each other's.
pub(super) fn refuse_one_file_for_two(files: &[(&str, Option<&PathBuf>)]) -> Result<(), String> {
    let named: Vec<_> = files.iter().filter_map(|&(flag, path)| Some((flag, path?))).collect();
    for (at, (flag, path)) in named.iter().enumerate() {
        if let Some((other, _)) = named[at + 1..].iter().find(|(_, other)| same_file(path, other)) {
            let path = path.display();
            return Err(format!("{flag} and {other}: {path} can hold one of them only, name two files"));
        }
    }
    Ok(())
}

/// Whether both names lead to one file that keeps what is written, there already or not; standard output is one.
fn same_file(one: &Path, other: &Path) -> bool {
    if is_stdout(one) || is_stdout(other) {
        return is_stdout(one) && is_stdout(other);
    }
    let real = |path: &Path| {
        path.canonicalize().ok().or_else(|| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
            Some(folder.join(path.file_name()?))
        })
    };
    let (one, other) = (real(one), real(other));
    one.is_some() && one == other && one.as_deref() != Some(Path::new("/dev/null"))
}
