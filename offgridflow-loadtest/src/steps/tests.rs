//! Laws that are known come out of their own figures.

use super::{fit::fit_scaling, knee::knee, *};
use crate::histogram::as_f64;

fn law(lambda: f64, alpha: f64, beta: f64) -> impl Fn(usize) -> f64 {
    move |workers| {
        let n = as_f64(workers as u64);
        n * lambda / (1.0 + alpha * (n - 1.0) + beta * n * (n - 1.0))
    }
}

fn climb(steps: &Steps, mut rate: impl FnMut(usize) -> Result<Climbed, String>) -> Staircase {
    let run = async |workers| Ok::<_, ConfigError>(rate(workers));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(steps.over(run)).poll(&mut context) {
        std::task::Poll::Ready(found) => found.expect("sound"),
        std::task::Poll::Pending => unreachable!("it waits for nothing"),
    }
}

/// Gunther, *Guerrilla Capacity Planning* (2007), a ray-tracing benchmark on 1 to 64 processors. His fit: σ 0.05, κ 5 · 10⁻⁶.
#[test]
fn published_figures_give_the_published_law() {
    let runs = [
        (1, 20.0),
        (4, 78.0),
        (8, 130.0),
        (12, 170.0),
        (16, 190.0),
        (20, 200.0),
        (24, 210.0),
        (28, 230.0),
        (32, 260.0),
        (48, 280.0),
        (64, 310.0),
    ];
    let found = fit_scaling(&runs, 0).expect("eleven levels");
    assert!((0.04..=0.06).contains(&found.alpha), "{found:?}");
    assert!(found.beta < 1e-4 && found.r_squared > 0.98, "{found:?}");
}

#[test]
fn intervals_of_noisy_runs_hold_the_law_nearly_always() {
    let truth = law(100.0, 0.03, 0.000_4);
    let normal = |rng: &OpRng| {
        libm::sqrt(-2.0 * libm::log(1.0 - rng.unit())) * libm::cos(std::f64::consts::TAU * rng.unit())
    };
    let (mut alpha, mut peak) = (0, 0);
    for seed in 0..60 {
        let rng = OpRng::new(seed, 5);
        let steps = Steps::default().seed(seed).rounds(8);
        let found = climb(&steps, |workers| {
            Ok(Climbed::new(truth(workers) * libm::exp(0.03 * normal(&rng)), None, true))
        });
        let fitted = found.scaling.expect("a fit");
        let holds = |interval: Option<(f64, f64)>, truth: f64| {
            interval.is_some_and(|(low, high)| low <= truth && truth <= high)
        };
        alpha += u32::from(holds(fitted.alpha_interval, 0.03));
        peak += u32::from(holds(fitted.peak_interval, libm::sqrt(0.97 / 0.000_4)));
    }
    // Draws from eight runs are a little narrow: nine in ten, not nineteen in twenty.
    assert!(alpha >= 51 && peak >= 51, "{alpha} and {peak} of 60");
}

#[test]
fn parameters_do_not_go_below_zero_and_a_straight_line_has_no_end() {
    let better_than_linear = |workers: usize| 100.0 * libm::pow(as_f64(workers as u64), 1.02);
    let runs: Vec<_> = [1, 2, 4, 8, 16].map(|n| (n, better_than_linear(n))).into();
    let found = fit_scaling(&runs, 0).expect("five levels");
    assert_eq!((found.alpha, found.beta, found.peak_workers, found.peak_per_sec), (0.0, 0.0, None, None));
    assert_eq!(found.alpha_interval, None, "one round says nothing of its own spread");
    assert!(
        fit_scaling(&runs[..3], 0).is_none()
            && fit_scaling(&[(1, 0.0), (2, 1.0), (3, 1.0), (4, 1.0)], 0).is_none()
    );
}

#[test]
fn levels_are_run_in_another_order_each_round_and_spoiled_runs_are_left_out() {
    let mut order = Vec::new();
    let truth = law(50.0, 0.1, 0.001);
    let found = climb(&Steps::default().rounds(2), |workers| {
        order.push(workers);
        match workers {
            128 => Err("GeneratorBound: no core".into()),
            _ => Ok(Climbed::new(truth(workers), Some(Duration::from_millis(workers as u64)), workers < 20)),
        }
    });
    assert_eq!(order.len(), 16);
    assert_ne!(order[..8], order[8..], "another order");
    let last = found.levels.last().expect("a level");
    assert_eq!((last.workers, last.runs.len(), last.spoiled.len(), last.meets()), (128, 0, 2, false));
    assert!((found.scaling.as_ref().expect("seven levels").alpha - 0.1).abs() < 1e-6);
    assert_eq!(found.knee, Some(16));
    let said = found.to_string();
    assert!(said.contains("GeneratorBound") && said.contains("knee        16 workers"), "{said}");
}

#[test]
fn replicas_are_counted_from_what_met_the_thresholds() {
    let truth = law(100.0, 0.05, 0.0);
    let found = climb(&Steps::default(), |workers| Ok(Climbed::new(truth(workers), None, workers <= 16)));
    let each = truth(16);
    let plan = found.replicas(5_000.0, 0.7).expect("met");
    assert_eq!((plan.workers, plan.is_limit), (16, true));
    assert_eq!(as_f64(plan.count), libm::ceil(5_000.0 / (each * 0.7)));
    assert!(plan.to_string().starts_with("for 5000.0/s: 8 replicas."), "{plan}");
    assert!(found.replicas(f64::NAN, 0.7).is_none() && found.replicas(1.0, 0.0).is_none());
    let none = climb(&Steps::default(), |workers| Ok(Climbed::new(truth(workers), None, false)));
    assert!(none.replicas(1.0, 0.7).is_none());
}

#[test]
fn a_knee_is_where_a_curve_bends_and_a_line_has_none() {
    let curve: Vec<_> = (1..=10).map(|x| (f64::from(x), f64::from(x.min(4)))).collect();
    assert_eq!(knee(&curve), Some(3));
    let line: Vec<_> = (1..=10).map(|x| (f64::from(x), f64::from(3 * x))).collect();
    assert_eq!((knee(&line), knee(&line[..1]), knee(&[])), (None, None, None));
}

#[test]
fn what_cannot_work_is_refused() {
    let field = |steps: Steps| steps.validate().expect_err("refused").field;
    assert_eq!(field(Steps::default().levels([1, 2, 3])), "levels");
    assert_eq!(field(Steps::default().levels([0, 1, 2, 3])), "levels");
    assert_eq!(field(Steps::default().levels([1, 1, 2, 3])), "levels");
    assert_eq!(field(Steps::default().rounds(0)), "rounds");
}
