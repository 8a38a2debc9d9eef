//! Something to measure.

/// Turns of a loop that nothing shortens.
pub const TURNS: u64 = 2_000;

/// Mixes `turns` numbers.
#[inline(never)]
pub fn mix(turns: u64) -> u64 {
    (0..turns).fold(1, |mixed, turn| std::hint::black_box(mixed ^ turn).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Fills and sums a list.
#[inline(never)]
pub fn fill(length: u64) -> u64 {
    let list: Vec<u64> = (0..length).map(std::hint::black_box).collect();
    list.iter().sum()
}
