#!/usr/bin/env bash
# B4: simulated suites of 100 correlated benchmarks without a slow-down beyond δ, in drift, AR(1), level shifts, heavy tails, two modes and
# order effects: how many are red. Controls: fixed order, median-centred null, pooled samples, fixed t, peeking; all must be red too often.
# VERIFY_SEED picks the seed; without it, one nobody has seen.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

size=()
[ "${VERIFY_SIZE:-quick}" = full ] && size=(--full)
[ -z "${VERIFY_SEED:-}" ] || size+=(--seed "$VERIFY_SEED")
cargo run --release --quiet -p offgridflow-bench -- selftest adversary "${size[@]}" || true
