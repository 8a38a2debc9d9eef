# shellcheck shell=bash
# Sourced by the other scripts: the root as working folder, the crates, and how to print a step.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The five crates people depend on.
CRATES=(cache query profile loadtest bench)
# Every feature of the five and of the server. Rivals are features of `benches`, which this leaves out.
ALL_FEATURES=$(printf 'offgridflow-%s/full,' "${CRATES[@]}")
ALL_FEATURES+=offgridflow/otlp
export CARGO_TERM_PROGRESS_WHEN=${CARGO_TERM_PROGRESS_WHEN:-never}

step() { printf '\n== %s\n' "$*" >&2; }
die() { printf '%s\n' "$*" >&2; exit 4; }
have() { command -v "$1" >/dev/null 2>&1; }
may_install() { [ "$(id -u)" -eq 0 ] && have apt-get; }

# Installs Debian packages when root; says otherwise which are missing. The packages' own services stay down (RUNLEVEL).
need_packages() {
  [ $# -gt 0 ] || return 0
  may_install || die "missing: $*. Install them, for example: sudo apt-get install $*"
  step "installing $*"
  DEBIAN_FRONTEND=noninteractive apt-get update -qq
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Prints the comment block at the head of the calling script when the first argument asks for help.
help_if_asked() {
  case "${1:-}" in -h | --help) awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit 0 ;; esac
}
