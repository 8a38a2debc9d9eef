//! Bodies of work that differ in what they do; each is one physical function, and takes about a millisecond a call.

use std::hint::black_box;

pub const BODIES: usize = 6;
pub const NAMES: [&str; BODIES] =
    ["body_multiply", "body_divide", "body_float", "body_walk", "body_copy", "body_allocate"];
/// How often each is chosen, in percent.
pub const WEIGHTS: [u64; BODIES] = [30, 20, 15, 15, 10, 10];
/// Those that spend their time in C's library.
pub const IN_LIBC: [bool; BODIES] = [false, false, false, false, true, true];

#[inline(never)]
fn body_multiply(rounds: u64) -> u64 {
    (0..rounds).fold(1, |held: u64, round| black_box(held.wrapping_mul(round | 1)))
}

#[inline(never)]
fn body_divide(rounds: u64) -> u64 {
    (1..=rounds).fold(u64::MAX, |held, round| black_box(u64::MAX / (held % round + 1)))
}

#[inline(never)]
fn body_float(rounds: u64) -> u64 {
    (0..rounds).fold(1.5_f64, |held, _| black_box((held + 1.0).sqrt() + held * 0.5)).to_bits()
}

#[inline(never)]
fn body_walk(rounds: u64, table: &[u32]) -> u64 {
    u64::from((0..rounds).fold(0_u32, |at, _| black_box(table[at as usize % table.len()])))
}

#[inline(never)]
fn body_copy(rounds: u64, from: &[u8], to: &mut [u8]) -> u64 {
    for _ in 0..rounds {
        to.copy_from_slice(black_box(from));
    }
    black_box(u64::from(to[7])) // not a tail call
}

#[inline(never)]
fn body_allocate(rounds: u64) -> u64 {
    let mut held = 0;
    for round in 0..rounds {
        // SAFETY: each object is freed once, as it came.
        unsafe {
            let pointer = black_box(libc::malloc(16 + (round as usize * 37) % 2_000));
            held ^= pointer as u64;
            libc::free(pointer);
        }
    }
    black_box(held)
}

/// What the bodies work on.
pub struct Bench {
    table: Vec<u32>,
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Bench {
    pub fn new() -> Self {
        let size = 1 << 20;
        let table = (0..size).map(|at: u32| at.wrapping_mul(0x9E37_79B1) % size).collect();
        Self { table, from: vec![7; 1 << 18], to: vec![0; 1 << 18] }
    }

    pub fn work(&mut self, body: usize) -> u64 {
        match body {
            0 => body_multiply(400_000),
            1 => body_divide(60_000),
            2 => body_float(80_000),
            3 => body_walk(40_000, &self.table),
            4 => body_copy(60, &self.from, &mut self.to),
            _ => body_allocate(50_000),
        }
    }
}

/// CPU time of this thread, or of the process; nanoseconds.
pub fn cpu_nanos(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes into `time` alone.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Seeded chance (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A body, by its weight.
    pub fn body(&mut self) -> usize {
        let mut left = self.next() % 100;
        WEIGHTS.iter().position(|weight| left.checked_sub(*weight).map(|rest| left = rest).is_none()).unwrap_or(0)
    }
}
