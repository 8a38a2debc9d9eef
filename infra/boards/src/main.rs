//! `boards write|check|queries|rules|tests`, from the root of the repository.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use boards::{FOLDER, check, questions, rules, tests, write};

const USAGE: &str = "usage: boards write | check | rules | tests RECORDED | queries INTERVAL RANGE";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("boards: {error}");
            ExitCode::from(4)
        }
    }
}

/// 0 for done, 1 for faults that were found, 2 for another command.
fn run(arguments: &[&str]) -> Result<u8, Box<dyn std::error::Error>> {
    match arguments {
        ["write"] => write(Path::new(FOLDER))?,
        ["check"] => {
            let faults = check(Path::new(FOLDER))?;
            faults.iter().for_each(|fault| println!("{fault}"));
            return Ok(u8::from(!faults.is_empty()));
        }
        ["rules"] => print!("{}", rules(&questions(Path::new(FOLDER), "1m", "1h")?)),
        ["tests", recorded] => {
            let questions = questions(Path::new(FOLDER), "5m", "30m")?;
            print!("{}", tests(&questions, &fs::read_to_string(recorded)?)?);
        }
        // Tab-separated: the file, the panel, `live` or `cluster`, what must be 1, and the query itself.
        ["queries", interval, range] => {
            for one in questions(Path::new(FOLDER), interval, range)? {
                let place = if one.cluster { "cluster" } else { "live" };
                println!("{}\t{}\t{place}\t{}\t{}", one.file, one.panel, one.found(), one.query);
            }
        }
        _ => {
            eprintln!("{USAGE}");
            return Ok(2);
        }
    }
    Ok(0)
}
