//! Compares two recordings of criterion in code; the command does the same:
//! `cargo run -p offgridflow-bench --example compare -- target/criterion BASE NEW`.
use offgridflow_bench::{CriterionDir, Effect, Options, compare};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, base, new] = arguments.as_slice() else {
        return Err("usage: compare FOLDER BASE NEW".into());
    };
    let report =
        compare(&CriterionDir::new(folder, base), &CriterionDir::new(folder, new), &Options::default())?;
    println!("{report}");
    for one in report.comparisons.iter().filter(|one| one.effect == Effect::Slower) {
        println!("{} became slower by at least {:.1} %", one.name, (one.ratio.low - 1.0) * 100.0);
    }
    Ok(())
}
