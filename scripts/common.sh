# shellcheck shell=bash
# Sourced by the other scripts: the root as working folder, the crates, and how to print a step.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The five crates people depend on.
CRATES=(cache query profile loadtest bench)
# Every feature of the five. Rivals are features of `benches`, which this leaves out.
ALL_FEATURES=$(printf 'offgridflow-%s/full,' "${CRATES[@]}")
ALL_FEATURES=${ALL_FEATURES%,}
export CARGO_TERM_PROGRESS_WHEN=${CARGO_TERM_PROGRESS_WHEN:-never}

step() { printf '\n== %s\n' "$*" >&2; }
die() { printf '%s\n' "$*" >&2; exit 4; }
have() { command -v "$1" >/dev/null 2>&1; }

# Prints the comment block at the head of the calling script when the first argument asks for help.
help_if_asked() {
  case "${1:-}" in -h | --help) awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit 0 ;; esac
}
