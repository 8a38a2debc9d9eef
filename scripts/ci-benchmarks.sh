#!/usr/bin/env bash
# What continuous integration asks of the benchmarks: that nothing regressed. What is undecided is told and passes; what could not be
# compared fails. Usage: scripts/ci-benchmarks.sh [ARGUMENTS OF run-benchmarks.sh]
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

status=0
scripts/run-benchmarks.sh "$@" || status=$?
if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -s target/offgridflow-bench/report.md ]; then
  cat target/offgridflow-bench/report.md >>"$GITHUB_STEP_SUMMARY"
fi
[ "$status" -ne 3 ] || { echo "undecided: nothing is known to have regressed; the report says what could not be told" >&2; exit 0; }
exit "$status"
