//! What comes with a command: completions for shells, and a manual page.

use std::{io, process::ExitCode};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Failure, arguments::Arguments, say, set_up};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Whose.
    pub(super) shell: Shell,
}

const NAME: &str = "offgridflow-loadtest";

pub(super) fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut script);
    // clap_complete 4.6 takes the dash in a name for the one before a part, in one of two places: bash then completes no flag.
    let script =
        String::from_utf8_lossy(&script).replace("offgridflow__subcmd__loadtest", "offgridflow__loadtest");
    put(&script)
}

/// The command and each of its parts, on one page.
pub(super) fn man() -> Result<ExitCode, Failure> {
    let page = page().map_err(set_up)?;
    put(&page)
}

fn page() -> io::Result<String> {
    let mut command = Arguments::command().name(NAME);
    command.build();
    let whole = Man::new(command.clone()).manual("User Commands");
    let mut page = roff(|out| {
        whole.render_title(out)?;
        whole.render_name_section(out)?;
        whole.render_synopsis_section(out)
    })?;
    for part in command.get_subcommands().filter(|part| part.get_name() != "help") {
        let name = part.get_name().to_uppercase();
        let part = Man::new(part.clone());
        let said = roff(|out| {
            part.render_synopsis_section(out)?;
            part.render_description_section(out)?;
            part.render_options_section(out)
        })?;
        page += &format!(".SH {name}\n{}", said.replace(".SH ", ".SS "));
    }
    let rest = roff(|out| {
        whole.render_extra_section(out)?;
        whole.render_version_section(out)
    })?;
    Ok(page + &rest.replace(".SH EXTRA", ".SH \"EXIT STATUS\""))
}

fn roff(render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<String> {
    let mut text = Vec::new();
    render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn put(text: &str) -> Result<ExitCode, Failure> {
    say(&text).map(|()| ExitCode::SUCCESS)
}
