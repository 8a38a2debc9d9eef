//! `pprof-modes shares SECONDS`: profiles work whose shares are counted, and prints what the profile says of it.
//! `pprof-modes torture SIGNALS`: sends so many signals while threads do what signals are known to break, under the profiler.
//!
//! Which engine, a feature says: `ours`, `frame-pointer` or `default-unwinder`; the last one with a blocklist where `BLOCKLIST` is set.

mod engine;
mod shares;
mod torture;
mod work;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let number = arguments.next().and_then(|number| number.parse().ok());
    match (what.as_str(), number) {
        ("shares", Some(seconds)) => shares::run(seconds),
        ("torture", Some(signals)) => torture::run(signals),
        _ => {
            eprintln!("usage: pprof-modes shares SECONDS | torture SIGNALS");
            std::process::exit(2);
        }
    }
}
