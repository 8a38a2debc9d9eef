#!/usr/bin/env bash
# Loads what a preset names and writes its report (JSON, for all but db-connections a page too) to a folder. Every figure is measured.
# Usage: scripts/load-test.sh api-endpoints [--base URL] [--rate N] [--for DURATION] [--out FOLDER]
#        scripts/load-test.sh worker-throughput [--base URL] [--rate N] [--for DURATION] [--out FOLDER]
#        scripts/load-test.sh db-connections [--each DURATION] [--out FOLDER]               (DATABASE_URL)
#        scripts/load-test.sh redis-cache [--rate N] [--for DURATION] [--out FOLDER]        (REDIS_URL)
# OFFGRIDFLOW_LOADTEST names the command, if it is not to be built here. Exit status: as `offgridflow-loadtest` has it, 2 usage.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() { awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; }
case ${1:-} in -h | --help) usage; exit 0 ;; esac
preset=${1:-}
case $preset in
  api-endpoints | worker-throughput | db-connections | redis-cache) shift ;;
  *) usage >&2; exit 2 ;;
esac

base='' rate='' for='' each='' out=.
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 2; }
  case $1 in
    --base) base=$2 ;;
    --rate) rate=$2 ;;
    --for) for=$2 ;;
    --each) each=$2 ;;
    --out) out=$2 ;;
    *) echo "unknown argument: $1" >&2; exit 2 ;;
  esac
  shift 2
done
mkdir -p "$out"

loadtest() {
  if [ -n "${OFFGRIDFLOW_LOADTEST:-}" ]; then "$OFFGRIDFLOW_LOADTEST" "$@"; return; fi
  cargo run --quiet --release --manifest-path "$root/Cargo.toml" -p offgridflow-loadtest --features sql,redis -- "$@"
}

case $preset in
  api-endpoints | worker-throughput)
    scenario=$out/$preset.toml
    sed -e "${base:+s|^url = .*|url = \"$base\"|}" -e "${rate:+s|^requests_per_second = .*|requests_per_second = $rate|}" \
      -e "${for:+s|^duration = .*|duration = \"$for\"|}" "$root/docs/loadtest/$preset.toml" >"$scenario"
    loadtest run "$scenario" --plain --json "$out/$preset.json" --html "$out/$preset.html"
    ;;
  db-connections)
    loadtest preset db-connections ${each:+--each "$each"} --json "$out/db-connections.json"
    ;;
  redis-cache)
    loadtest preset redis-cache ${rate:+--rate "$rate"} ${for:+--for "$for"} --json "$out/redis-cache.json" --html "$out/redis-cache.html"
    ;;
esac
