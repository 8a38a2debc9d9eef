#!/usr/bin/env bash
# Compares the criterion suites of this repository with another revision.
# Usage: scripts/run-benchmarks.sh [--base REV] [OPTION OF THE GATE …] [-- ARGUMENT OF CARGO BENCH …]
#   REV is by default the newest release tag (v…) before HEAD, else the merge base with origin/main or main, else the commit before HEAD.
#   bench.toml says what is measured and for how long (at most 5 minutes; building comes on top).
#   Reports: target/offgridflow-bench/report.json, .html, .md
# Exit status: 0 pass, 1 regressed, 2 usage, 3 undecided, 4 not compared, 130 interrupted.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

default_base() {
  local main base
  git describe --tags --abbrev=0 --match 'v[0-9]*' HEAD~1 2>/dev/null && return
  for main in origin/main main; do
    base=$(git merge-base HEAD "$main" 2>/dev/null) || continue
    [ "$base" = "$(git rev-parse HEAD)" ] || { echo "$base"; return; }
  done
  git rev-parse --verify --quiet HEAD~1 || die "HEAD has no commit before it to compare with: name one with --base"
}

base=()
case " $* " in *' --base '* | *' --base='*) ;; *) base=(--base "$(default_base)") ;; esac
gate=${OFFGRIDFLOW_BENCH:-}
if [ -z "$gate" ]; then
  cargo build --release --quiet -p offgridflow-bench
  gate=${CARGO_TARGET_DIR:-target}/release/offgridflow-bench
fi
reports=target/offgridflow-bench
mkdir -p "$reports"
status=0
"$gate" gate --html "$reports/report.html" "${base[@]}" "$@" | tee "$reports/report.md" || status=${PIPESTATUS[0]}
exit "$status"
