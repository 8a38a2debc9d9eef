#!/usr/bin/env bash
# L6: a run split 1, 2, 4 and 8 ways has the same instants and, merged, the same buckets; its HdrHistogram log is read by an implementation in
# another language; eight processes are merged and judged once, and one that is killed, there twice, of another run or late is named with exit code 4.
# Control: the worst part's percentile in place of the merged one.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() { cargo test --release --quiet -p offgridflow-loadtest --features full --test "$1" -- --nocapture --exact "${@:2}" 2>&1; }
out=$(run split l6_splits_are_bit_identical_and_merges_exact the_engine_runs_every_operation_once_on_any_number_of_shards) || true
grep -q '2 passed' <<<"$out" || { printf '%s\n' "$out" >&2; echo "FAIL measured=none splits differ"; exit 0; }
read -r instants buckets wrong < <(sed -n 's/.*L6 instants=\([0-9]*\) buckets=\([0-9]*\) wrong_maxima=\(.*\)/\1 \2 \3/p' <<<"$out")
properties=$(cargo test --release --quiet -p offgridflow-loadtest --features full --test schedule --test histograms 2>&1) ||
  { printf '%s\n' "$properties" >&2; echo "FAIL measured=none a property does not hold"; exit 0; }

merged=$(cargo test --release --quiet -p offgridflow-loadtest --features full --test merge 2>&1) ||
  { printf '%s\n' "$merged" >&2; echo "FAIL measured=none shards are not merged as they should be"; exit 0; }
shards=$(sed -n 's/^test result: ok. \([0-9]*\) passed.*/\1/p' <<<"$merged")

# The log, read by the Python implementation.
reader=target/verify/hdrhistogram
if ! "$reader/bin/python" -c 'import hdrh' 2>/dev/null; then
  { python3 -m venv "$reader" && "$reader/bin/pip" -q install hdrhistogram; } >&2 ||
    { echo "SKIP measured=none no independent HdrHistogram reader"; exit 0; }
fi
VERIFY_HLOG=$work run hdr_log others_can_read_the_log >&2
read -r worst n < <("$reader/bin/python" - "$work" <<'PY'
import json, sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

folder = sys.argv[1]
response = json.load(open(f"{folder}/report.json"))["total"]["response"]
whole = HdrHistogram(1, 3_600_000_000_000, 3)
reader = HistogramLogReader(f"{folder}/run.hlog", HdrHistogram(1, 3_600_000_000_000, 3))
while (part := reader.get_next_interval_histogram()) is not None:
    whole.add(part)
assert whole.get_total_count() == response["count"], (whole.get_total_count(), response["count"])
pairs = [(50, "p50"), (90, "p90"), (95, "p95"), (99, "p99"), (99.9, "p999")]
off = [abs(whole.get_value_at_percentile(q) / response[name]["value"] - 1) for q, name in pairs]
print(f"{max(off) * 100:.3f} {whole.get_total_count()}")
PY
) || true
[ -n "${n:-}" ] || { echo "FAIL measured=none the log was not read"; exit 0; }
word=$(awk -v off="$worst" 'BEGIN { print (off <= 0.1) ? "PASS" : "FAIL" }')
echo "$word measured=instants-identical,buckets-equal,log-off-by-$worst%,processes-merged-and-missing-ones-exit-4 control=maxima-wrong-in-$wrong n=$instants+$buckets,log=$n,merge-tests=$shards"
