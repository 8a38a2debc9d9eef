//! What is promised, under seeded disorder; `SIMULATION_SEEDS=a..b` picks other seeds.
#![cfg(feature = "sim")]

use offgridflow_cache::InProcess;
use offgridflow_cache::sim::{Mutant, Settings, run};

fn seeds() -> std::ops::Range<u64> {
    let range = std::env::var("SIMULATION_SEEDS").unwrap_or_else(|_| "0..300".to_owned());
    let (from, to) = range.split_once("..").expect("from..to");
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn no_seed_breaks_a_promise() {
    for seed in seeds() {
        run(seed, &Settings::default(), InProcess::new).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn a_seed_is_one_run() {
    let settings = Settings::default();
    let broken = Settings::default().mutant(Mutant::BornAtLanding);
    let mut failures = 0;
    for seed in 0..30 {
        assert_eq!(
            run(seed, &settings, InProcess::new).unwrap(),
            run(seed, &settings, InProcess::new).unwrap()
        );
        let [one, other] =
            [0; 2].map(|_| run(seed, &broken, InProcess::new).map_err(|failure| failure.to_string()));
        assert_eq!(one, other);
        failures += u64::from(one.is_err());
    }
    assert!(failures > 0, "traces were compared");
}

#[test]
fn every_mutant_is_caught_within_a_hundred_seeds() {
    for mutant in Mutant::ALL {
        let settings = Settings::default().mutant(mutant).shrink(false);
        let caught = (0..100).find_map(|seed| run(seed, &settings, InProcess::new).err());
        let failure = caught.unwrap_or_else(|| panic!("{mutant:?} breaks no promise in 100 seeds"));
        println!("{mutant:?}: seed {}: {}", failure.seed, failure.promise);
    }
}

#[cfg(feature = "moka")]
#[test]
fn the_plain_composition_breaks_promises() {
    let settings = Settings::default().composition().shrink(false);
    let caught = (0..100).find_map(|seed| run(seed, &settings, InProcess::new).err());
    println!("{}", caught.expect("it has no leases").promise);
}
