#!/usr/bin/env bash
# P4: heap estimates of 54 sites over 200 seeds: their mean over the truth, and how often the stated 95 % interval holds it.
# Control: samples times the rate, without unbiasing. The allocator itself is tried by the tests named heap.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

run() { cargo test --release --quiet -p offgridflow-profile --no-default-features --features heap "$@" 2>&1; }
out=$(run --lib heap:: -- --nocapture) || { printf '%s\n' "$out" >&2; echo "FAIL measured=none an estimate or its control does not hold"; exit 0; }
live=$(run --test heap --test heap_missing) || { printf '%s\n' "$live" >&2; echo "FAIL measured=none the allocator fails a test"; exit 0; }
read -r sites mean many few < <(sed -n 's/.*P4 sites=\([0-9]*\) mean=\([0-9.]*\) covered>=20:\([0-9.]*\) covered<20:\([0-9.]*\).*/\1 \2 \3 \4/p' <<<"$out")
[ -n "${few:-}" ] || { printf '%s\n' "$out" >&2; echo "FAIL measured=none no figures"; exit 0; }
word=$(awk -v m="$mean" -v a="$many" -v b="$few" 'BEGIN { print (m >= 0.98 && m <= 1.02 && a >= 0.93 && a <= 0.98 && b >= 0.93) ? "PASS" : "FAIL" }')
echo "$word measured=mean-$mean,covered-$many-at-20-samples-or-more,$few-below control=samples-times-rate-off-by-more-than-20% n=$sites-sites,200-seeds"
