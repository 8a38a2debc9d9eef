use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::time::Instant;

use benches::figures::median;

const PAIRS: u32 = 20_000;
const ROUNDS: usize = 301;

/// What the sampling allocator adds to an allocation and its end, nanoseconds: the median of rounds that alternate with the system's.
pub(crate) fn nanos_a_pair(size: usize) -> f64 {
    let differences: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            if round % 2 == 0 {
                let ours = pairs(&crate::ALLOCATOR, size);
                ours - pairs(&System, size)
            } else {
                let system = pairs(&System, size);
                pairs(&crate::ALLOCATOR, size) - system
            }
        })
        .collect();
    median(&differences)
}

#[expect(unsafe_code, reason = "allocators are called directly, side by side")]
#[inline(never)]
fn pairs(allocator: &impl GlobalAlloc, size: usize) -> f64 {
    let layout = Layout::from_size_align(black_box(size), 8).expect("a layout");
    let began = Instant::now();
    for _ in 0..PAIRS {
        // SAFETY: the size is not zero, and the object goes back as it came.
        unsafe {
            let pointer = black_box(allocator.alloc(layout));
            allocator.dealloc(pointer, layout);
        }
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(PAIRS)
}
