#!/usr/bin/env bash
# P1: what the profiler costs with everything on: CPU windows at 99 Hz, heap samples, memory, ring, triggers. Two threads allocate and calculate; runs
# with and without it alternate (quick: 3 pairs, full: 10). Measured: units of work a second of CPU time, with over without; CPU time of the
# profiler's own threads and of its signals; what the allocator's hook adds to an allocation and its end. Control: ten times the rates.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

cargo build --release --quiet -p benches --features profile-truth --bin profile-truth >&2
"${CARGO_TARGET_DIR:-target}/release/profile-truth" p1
