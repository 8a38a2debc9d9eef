//! Random arrivals have the distribution they claim, and the tests would notice another one.

use std::time::Duration;

use offgridflow_loadtest::{ArrivalProcess, Bursts, Rate, Schedule};

const SEEDS: u64 = 100;
// So slow that rounding to nanoseconds does not show, even where most gaps are all but nothing.
const RATE: f64 = 0.02;
const SPAN: Duration = Duration::from_secs(100_000);

/// A rate that changes, and the area under it up to an instant: gaps are compared in the area.
fn wave() -> Rate {
    Rate::sine(RATE, 0.8 * RATE, SPAN / 3, SPAN)
}

fn area(at: f64) -> f64 {
    let turn = std::f64::consts::TAU * 3.0 / SPAN.as_secs_f64();
    RATE * at + 0.8 * RATE / turn * (1.0 - (turn * at).cos())
}

/// Gaps in operations, sorted; `stretch` misstates the rate for the controls.
fn gaps(schedule: &Schedule, stretch: f64) -> Vec<f64> {
    let under = |at: Duration| stretch * area(at.as_secs_f64());
    let at: Vec<f64> = schedule.shard(0, 1).map(|(_, at)| under(at)).collect();
    let mut gaps: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    gaps
}

/// Kolmogorov–Smirnov at α = 0.01, with Stephens' correction for the sample size.
fn fits(gaps: &[f64], model: impl Fn(f64) -> f64) -> bool {
    let n = gaps.len() as f64;
    let distance = gaps.iter().enumerate().map(|(i, &gap)| {
        let model = model(gap);
        (model - i as f64 / n).abs().max((model - (i + 1) as f64 / n).abs())
    });
    distance.fold(0.0, f64::max) * (n.sqrt() + 0.12 + 0.11 / n.sqrt()) < 1.628
}

fn passed(schedule: impl Fn(u64) -> Schedule, stretch: f64, model: impl Fn(f64) -> f64) -> usize {
    (0..SEEDS).filter(|&seed| fits(&gaps(&schedule(seed), stretch), &model)).count()
}

/// How gaps of a gamma process with mean 1 are distributed: the regularised lower incomplete gamma function
/// P(shape, shape·gap), by its series (Abramowitz and Stegun 6.5.29) or, far out, its continued fraction (6.5.31).
fn gamma_gaps(shape: f64) -> impl Fn(f64) -> f64 {
    move |gap| {
        let x = shape * gap;
        if x <= 0.0 {
            return 0.0;
        }
        let front = (shape * x.ln() - x - libm::lgamma(shape)).exp();
        if x < shape + 1.0 {
            let terms = std::iter::successors(Some((1.0 / shape, shape)), |&(term, n)| {
                Some((term * x / (n + 1.0), n + 1.0)).filter(|(term, _)| *term > 1e-17)
            });
            front * terms.map(|(term, _)| term).sum::<f64>()
        } else {
            let fraction = (1..=200)
                .rev()
                .map(f64::from)
                .fold(0.0, |below, n| n * (shape - n) / (x + 2.0 * n + 1.0 - shape + below));
            1.0 - front / (x + 1.0 - shape + fraction)
        }
    }
}

fn exponential_gaps(gap: f64) -> f64 {
    1.0 - (-gap).exp()
}

#[test]
fn the_model_of_gamma_gaps_is_right() {
    // scipy.special.gammainc(0.5, 0.5), (3, 3), (3, 6), (10, 25) and the exponential.
    for (shape, gap, expected) in [
        (0.5, 1.0, 0.682_689_492),
        (3.0, 1.0, 0.576_809_919),
        (3.0, 2.0, 0.938_031_196),
        (10.0, 2.5, 0.999_778_516),
    ] {
        let got = gamma_gaps(shape)(gap);
        assert!((got - expected).abs() < 1e-7, "P({shape}, {shape}·{gap}) = {got}");
    }
    for gap in [0.001, 0.3, 1.0, 2.5, 9.0] {
        assert!((gamma_gaps(1.0)(gap) - exponential_gaps(gap)).abs() < 1e-12);
    }
}

#[test]
fn poisson_gaps_are_exponential_in_the_area_under_the_rate() {
    let poisson = |seed| Schedule::poisson(wave(), seed);
    let fitting = passed(poisson, 1.0, exponential_gaps);
    assert!(fitting >= 97, "{fitting} of {SEEDS} seeds");
    // A rate 10 % off, or other gaps, would be seen.
    let off = passed(poisson, 1.1, exponential_gaps);
    assert!(off < 50, "{off} of {SEEDS} seeds fit a wrong rate");
    let off = passed(|seed| Schedule::gamma(wave(), 1.3, seed), 1.0, exponential_gaps);
    assert!(off < 50, "{off} of {SEEDS} seeds fit wrong gaps");
}

#[test]
fn gamma_gaps_have_their_shape() {
    for shape in [0.2, 0.5, 1.0, 3.0, 20.0] {
        let gamma = |seed| Schedule::gamma(wave(), shape, seed);
        let fitting = passed(gamma, 1.0, gamma_gaps(shape));
        assert!(fitting >= 97, "shape {shape}: {fitting} of {SEEDS} seeds");
        let off = passed(gamma, 1.0, gamma_gaps(1.3 * shape));
        assert!(off < 50, "shape {shape}: {off} of {SEEDS} seeds fit a wrong shape");
    }
}

/// The variance of how many arrive in a window, over the mean.
fn dispersion(schedule: &Schedule, window: Duration) -> f64 {
    let windows = usize::try_from(schedule.duration().as_nanos() / window.as_nanos()).expect("few");
    let mut counts = vec![0_u32; windows];
    for (_, at) in schedule.shard(0, 1) {
        let index = usize::try_from(at.as_nanos() / window.as_nanos()).expect("few");
        if let Some(count) = counts.get_mut(index) {
            *count += 1;
        }
    }
    let n = windows as f64;
    let mean = counts.iter().map(|&count| f64::from(count)).sum::<f64>() / n;
    counts.iter().map(|&count| (f64::from(count) - mean).powi(2)).sum::<f64>() / (n - 1.0) / mean
}

#[test]
fn counts_vary_as_much_as_they_hold_at_every_scale() {
    for ms in [10, 100, 1_000] {
        let window = Duration::from_millis(ms);
        let rate = Rate::constant(2.0 / window.as_secs_f64(), window * 4_000);
        let mean =
            (0..25).map(|seed| dispersion(&Schedule::poisson(rate.clone(), seed), window)).sum::<f64>()
                / 25.0;
        assert!((0.95..1.05).contains(&mean), "{ms} ms: {mean}");
    }
    // Bursts of shape 0.25 vary four times as much, seen over many of them.
    let bursts = Schedule::gamma(Rate::constant(50.0, Duration::from_secs(4_000)), 0.25, 1);
    let dispersion = dispersion(&bursts, Duration::from_secs(1));
    assert!((3.6..4.4).contains(&dispersion), "{dispersion}");
}

const BURSTS: Bursts = Bursts { times: 4.0, share: 0.15, length: Duration::from_millis(500) };

/// The index of dispersion of a stationary MMPP of two states over `window` (H. Heffes and D. M. Lucantoni, 1986), for bursts around a rate.
fn modulated_dispersion(bursts: Bursts, per_sec: f64, window: Duration) -> f64 {
    let Bursts { times, share, length } = bursts;
    let calm = (1.0 - share * times) / (1.0 - share);
    let leaving = 1.0 / (length.as_secs_f64() * (1.0 - share)); // both rates of leaving a state
    let most = 2.0 * share * (1.0 - share) * (times - calm).powi(2) * per_sec / leaving;
    let t = leaving * window.as_secs_f64();
    1.0 + most * (1.0 - (1.0 - (-t).exp()) / t)
}

#[test]
fn bursts_vary_as_a_modulated_process_does_at_every_scale() {
    const PER_SEC: f64 = 40.0;
    let rate = Rate::constant(PER_SEC, Duration::from_secs(3_000));
    let windows = [50, 500, 5_000].map(Duration::from_millis);
    let mean = |seeds: u64, of: fn(&Rate, u64) -> Schedule| {
        let mut sums = [0.0; 3];
        for schedule in (0..seeds).map(|seed| of(&rate, seed)) {
            sums.iter_mut().zip(windows).for_each(|(sum, window)| *sum += dispersion(&schedule, window));
        }
        sums.map(|sum| sum / seeds as f64)
    };
    let seen = mean(20, |rate, seed| Schedule::bursty(rate.clone(), BURSTS, seed));
    // Independent arrivals and, but in windows shorter than both, shorter bursts are told apart from them.
    let poisson = mean(3, |rate, seed| Schedule::poisson(rate.clone(), seed));
    let shorter = Bursts { length: BURSTS.length / 2, ..BURSTS };
    for ((window, seen), poisson) in windows.into_iter().zip(seen).zip(poisson) {
        let expected = modulated_dispersion(BURSTS, PER_SEC, window);
        assert!((seen / expected - 1.0).abs() < 0.05, "{window:?}: {seen}, not {expected}");
        assert!((poisson / expected - 1.0).abs() > 0.15, "{window:?}: {poisson}");
        let told = (modulated_dispersion(shorter, PER_SEC, window) / expected - 1.0).abs();
        assert!(told > 0.1 || window < shorter.length, "{window:?}: {told}");
    }
}

/// The mean count is the integral, for rates that change too, within three standard errors.
#[test]
fn bursts_keep_the_mean_of_their_rate() {
    const SEEDS: u64 = 400;
    let rate = Rate::ramp(10.0, 110.0, Duration::from_secs(200));
    for bursts in [BURSTS, Bursts { times: 20.0, share: 0.05, length: Duration::from_millis(100) }] {
        let counts: Vec<f64> =
            (0..SEEDS).map(|seed| Schedule::bursty(rate.clone(), bursts, seed).operations() as f64).collect();
        let n = SEEDS as f64;
        let mean = counts.iter().sum::<f64>() / n;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let error = (variance / n).sqrt();
        assert!((mean - 12_000.0).abs() < 3.0 * error, "{mean} ± {error}");
        assert!(error < 120.0, "a rate 3 % off would be seen: {error}");
    }
}

/// A process that is on or off: nothing is due between bursts, and within one the rate is the burst's.
#[test]
fn bursts_that_hold_all_of_it_leave_nothing_between() {
    let bursts = Bursts { times: 10.0, share: 0.1, length: Duration::from_secs(1) };
    let schedule = Schedule::bursty(Rate::constant(1_000.0, Duration::from_secs(300)), bursts, 5);
    let mut counts = vec![0_u32; 3_000];
    for (_, at) in schedule.shard(0, 1) {
        counts[usize::try_from(at.as_millis() / 100).expect("few")] += 1;
    }
    let empty = counts.iter().filter(|count| **count == 0).count();
    assert!((2_300..2_900).contains(&empty), "{empty}");
    let full: Vec<_> = counts.iter().filter(|count| **count > 800).collect();
    assert!(full.len() > 100 && full.iter().all(|count| **count < 1_200), "10 000/s for a tenth of a second");
}
