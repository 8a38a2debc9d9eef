//! The same promises as in the simulation, of four processes over a real Redis: behind links that are cut, slow and stuck, with
//! processes that stand still and die, with scripts denied, and over a cluster. No run can be replayed; a seed says what is done
//! and when, and the history says what happened.
#![cfg(target_os = "linux")]

mod journal;
mod loader;
mod node;
mod plan;
mod promise;
mod record;
mod rival;
mod run;
mod source;
mod stage;
mod subject;

use run::{Kept, run};
use stage::{Stage, Variant};

const CACHE: &str = "cache";
const RIVAL: &str = "rival";

fn kept(variant: Variant, seeds: std::ops::Range<u64>) {
    let mut stage = Stage::set(variant);
    for seed in seeds {
        if let Err(failure) = run(&mut stage, seed, CACHE) {
            panic!("{failure}");
        }
    }
}

#[test]
fn processes_over_one_redis_keep_the_promises() {
    kept(Variant::Proxy, 6..8);
}

#[test]
fn processes_to_which_scripts_are_denied_keep_the_promises() {
    kept(Variant::Acl, 0..2);
}

#[test]
fn processes_over_a_cluster_keep_the_promises() {
    kept(Variant::Cluster, 0..1);
}

/// The control.
#[test]
fn the_usual_composition_does_not() {
    let mut stage = Stage::set(Variant::Proxy);
    let failure = (0..10).find_map(|seed| run(&mut stage, seed, RIVAL).err()).expect("it breaks a promise");
    assert!(failure.promise().starts_with("(1)") || failure.promise().starts_with("(2)"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of a fleet"]
async fn node() {
    node::live().await;
}

/// Prints what `scripts/verify/C1.sh` says of fleets; `VERIFY_SIZE`, `VERIFY_SEED` and `FLEET_SECONDS` choose the runs.
#[test]
#[ignore = "minutes long; run by scripts/verify/C1.sh"]
fn the_promise() {
    promise::promise();
}

/// Plays the seeds `FLEET_FROM..FLEET_TO` of `FLEET_VARIANT` with `FLEET_SUBJECT`, and says how each went.
#[test]
#[ignore = "for a look at single seeds"]
fn seeds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let variant = std::env::var("FLEET_VARIANT").map_or(Variant::Proxy, |name| Variant::named(&name));
    let subject = std::env::var("FLEET_SUBJECT").unwrap_or_else(|_| CACHE.to_owned());
    let mut stage = Stage::set(variant);
    for seed in number("FLEET_FROM").unwrap_or(0)..number("FLEET_TO").unwrap_or(10) {
        let began = std::time::Instant::now();
        match run(&mut stage, seed, &subject) {
            Ok(Kept { reads, stalled }) => {
                println!("seed {seed}: {reads} reads, stalled {stalled:?}, took {:?}", began.elapsed());
            }
            Err(failure) => {
                let file = std::env::temp_dir().join(format!("{subject}-{}-{seed}.txt", variant.name()));
                std::fs::write(&file, failure.to_string()).unwrap();
                println!("seed {seed}: {} in {:?}: {}", failure.promise(), began.elapsed(), file.display());
            }
        }
    }
}
