use std::collections::HashMap;
use std::process::Command;

use benches::figures::{as_f64, full, median};
use benches::row;

use crate::Failure;

/// Seconds of a run: three windows of CPU time.
const SECONDS: u64 = 31;

/// One run's figures, by name.
type Run = HashMap<String, f64>;

/// Pairs of runs, one with everything on, one with nothing, in the order on-off, off-on, …; then the control.
pub(crate) fn main() -> Result<(), Failure> {
    let pairs = if full() { 10 } else { 3 };
    let (mut ratios, mut owns, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut hooks, mut large) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        let (on, off) = if pair % 2 == 0 {
            let on = run("on")?;
            (on, run("off")?)
        } else {
            let off = run("off")?;
            (run("on")?, off)
        };
        ratios.push(pace(&on) / pace(&off));
        owns.push(own(&on));
        hooks.push(on["hook_ns"]);
        large.push(on["hook_1k_ns"]);
        starts.push(on["start_ms"]);
        row!(
            "pair {pair}: ratio {:.4}, own {:.2} %, hook {:.2} ns",
            pace(&on) / pace(&off),
            own(&on),
            on["hook_ns"]
        );
    }
    let (tenfold, off) = (run("tenfold")?, run("off")?);
    let control = (pace(&tenfold) / pace(&off), own(&tenfold));
    row!("control: ratio {:.4}, own {:.2} %, hook {:.2} ns", control.0, control.1, tenfold["hook_ns"]);
    let (ratio, half) = interval(&ratios);
    let (own, hook) = (median(&owns), median(&hooks));
    let good = ratio >= 0.99 && half <= 0.01 && own <= 1.0 && hook <= 2.0;
    let fails = control.0 < 0.99 || control.1 > 1.0;
    println!(
        "{} measured=throughput-{ratio:.4}±{half:.4},own-cost-{own:.2}%,hook-{hook:.2}-ns-at-64-bytes,{:.2}-at-1-KiB,once-at-the-start-{:.0}-ms control=ten-times-the-rate:throughput-{:.4},own-cost-{:.2}% n={pairs}-pairs-of-{SECONDS}-s",
        if good && fails { "PASS" } else { "FAIL" },
        median(&large),
        median(&starts),
        control.0,
        control.1
    );
    Ok(())
}

fn run(how: &str) -> Result<Run, Failure> {
    let output =
        Command::new(std::env::current_exe()?).args(["child", how, &SECONDS.to_string()]).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let figure = |word: &str| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    let run: Run = said.split_whitespace().filter_map(figure).collect();
    if run.contains_key("hook_ns") { Ok(run) } else { Err(format!("a run ended: {said}").into()) }
}

/// Units a second of the workers' CPU time: what others do on the machine is not in it.
fn pace(run: &Run) -> f64 {
    run["units"] / run["cpu_ms"]
}

/// What the profiler says it took, in percent of the CPU time: its threads and its handler.
fn own(run: &Run) -> f64 {
    run["own_ms"] / run["cpu_ms"] * 100.0 + run["handler_percent"]
}

/// Mean, and half the width of its 95 % interval (Student's t).
fn interval(values: &[f64]) -> (f64, f64) {
    const T: [f64; 10] = [f64::INFINITY, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
    let n = as_f64(values.len() as u64);
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let t = T.get(values.len() - 1).copied().unwrap_or(2.26);
    (mean, t * (variance / n).sqrt())
}
