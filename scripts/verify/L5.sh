#!/usr/bin/env bash
# L5: a recorder of 50 routes counts 10⁸ operations of usual times, then 10⁸ of adversarial tails, and its memory follows the
# range, not the count. Control: one counter a sample, as tools keep that sort at the end.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

out=$(cargo test --release --quiet -p offgridflow-loadtest --lib -- --ignored --exact --nocapture bounded::l5 2>&1) ||
  { printf '%s\n' "$out" >&2; echo "FAIL measured=none the recorder did not run"; exit 0; }
counters=$(cargo test --release --quiet -p offgridflow-loadtest --lib -- --exact histogram::counts::tests::counters_widen_and_never_lose_a_count 2>&1) || true
grep -q '1 passed' <<<"$counters" || { printf '%s\n' "$counters" >&2; echo "FAIL measured=none counters do not widen past 2^32"; exit 0; }
read -r within tails whole control samples < <(sed -n 's/.*L5 within=\([^ ]*\) tails=\([^ ]*\) whole=\([^ ]*\) control=\([^ ]*\) samples=\([0-9]*\).*/\1 \2 \3 \4 \5/p' <<<"$out")
[ -n "${samples:-}" ] || { printf '%s\n' "$out" >&2; echo "FAIL measured=none no figures"; exit 0; }
word=$(awk -v a="$within" -v b="$tails" -v c="$whole" -v d="$control" 'BEGIN { print (a <= 1 && b <= 8 && c <= 48 && d > 48) ? "PASS" : "FAIL" }')
echo "$word measured=within+${within}MiB,tails+${tails}MiB,total=${whole}MiB control=${control}MiB-at-8B-a-sample n=$samples"
