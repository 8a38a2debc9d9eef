//! One period of a sine, drawn as a polyline.

use super::{Rate, stage::Shape};

/// Chords of half a period. The polyline is at most 5 millionths of the amplitude off the sine.
const CHORDS: u32 = 512;

/// `mean + amplitude·sin(2πt/period)`, in millionths of an operation a second.
///
/// Corners lie on the sine, rounded to millionths, so that the integral of what runs is exact integer
/// arithmetic and never decreases. The second half mirrors the first, chord for chord: a whole period holds
/// `mean × period` exactly. Where the period is an odd number of nanoseconds, the last one runs at the mean.
pub(super) fn period(mean: u64, amplitude: u64, period_ns: u64) -> Rate {
    let half_ns = period_ns / 2;
    let corner = |index: u32| half_ns * u64::from(index) / u64::from(CHORDS);
    let mut wave = Rate::default();
    for up in [true, false] {
        let rate = |index: u32| {
            let swing = swing(amplitude, index);
            if up { mean + swing } else { mean - swing }
        };
        for chord in 0..CHORDS {
            let shape = Shape::Line { from: rate(chord), to: rate(chord + 1) };
            wave.push(shape, corner(chord + 1) - corner(chord));
        }
    }
    if period_ns % 2 == 1 {
        wave.push(Shape::Line { from: mean, to: mean }, 1);
    }
    wave
}

/// `amplitude·sin(π·index/CHORDS)`, at most the amplitude; `libm` gives the same bits everywhere.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "amplitudes are below 2^53, and the sine of half a circle is between 0 and 1"
)]
fn swing(amplitude: u64, index: u32) -> u64 {
    let nearer = index.min(CHORDS - index); // exactly symmetric, and exactly zero at both ends
    let sine = libm::sin(std::f64::consts::PI * f64::from(nearer) / f64::from(CHORDS));
    (libm::round(amplitude as f64 * sine) as u64).min(amplitude)
}
