#!/usr/bin/env bash
# B8: what five busy probes take of a core; how often a build that is a fifth slower is told from the one before within 100 runs, and how often
# the same build is called slower; that no objective is judged below its number of runs. Control: a percentile without a minimum count.
# VERIFY_SEED picks the seed; without it, one nobody has seen.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

out=$(cargo test --release --quiet -p offgridflow-bench --features service --test service_promise -- --ignored --exact --nocapture the_promise) || true
printf '%s\n' "$out" >&2
grep -E '^(PASS|FAIL) ' <<<"$out" || echo "FAIL measured=none no verdict"
