#!/usr/bin/env bash
# Measures what bench.toml has targets for and keeps the figures in bench-records.jsonl: the example server in release mode on SQLite under a load
# of 1 000 requests a second, what its probes, caches and memory say meanwhile, and, when REPORT names one, the gate's figures of single benchmarks.
# Then docs/PERFORMANCE_BENCHMARKS.md is made anew.
# Usage: scripts/record-benchmarks.sh [REPORT OF THE GATE …]
#   OFFGRIDFLOW_RECORD_SECONDS=90 is how long the load lasts; a probe's p95 has an interval from 72 runs, one a second, on.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

seconds=${OFFGRIDFLOW_RECORD_SECONDS:-90}
cargo build --release --quiet -p offgridflow -p offgridflow-loadtest -p offgridflow-bench
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
bench=$target/release/offgridflow-bench
work=$(mktemp -d)
server=''
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

"$target/release/offgridflow" all --listen 127.0.0.1:0 --database-url "sqlite:$work/data.db" --probe-secs 1 >"$work/said" 2>"$work/log" &
server=$!
for ((try = 0; try < 300; try++)); do
  base=$(sed -n 's/^listening on //p' "$work/said")
  [ -z "$base" ] || break
  sleep 0.1
done
[ -n "$base" ] || die "the server did not start: $(tail -n 3 "$work/log")"
for ((nth = 0; nth < 500; nth++)); do
  printf '{"id":"r-%d","category":"diesel","quantity":"%d.25","period":"2025-%02d"}\n' $nth $((1 + nth % 90)) $((1 + nth % 12))
done >"$work/rows"
curl --silent --fail --output /dev/null -H 'content-type: application/x-ndjson' --data-binary "@$work/rows" "$base/api/v1/activities"

"$target/release/offgridflow-loadtest" run "$base/api/v1/emissions?by=month" --rate 1000 --for "${seconds}s" --warm-up 5s --quiet --json "$work/load.json" >&2 || true
curl --silent --fail --output "$work/service.json" "$base/api/v1/performance"
"$bench" record "$work/load.json" --as 'api at 1000/s'
service() { "$bench" record "$work/service.json" --as 'under load' "$@"; }
service
service --value 'hit ratio of totals=/cache/totals/hit_ratio' --n /cache/totals/asked --times 100 --unit % --share
service --value 'resident memory=/memory/reading/rss_bytes' --n /memory/samples --times 9.5367431640625e-7 --unit MiB
for report in "$@"; do "$bench" record "$report"; done
"$bench" docs
