#!/usr/bin/env bash
# Builds the load tester and the program that measures it, gets its rivals (wrk and hey from Debian, oha by cargo), and runs
# one measurement. Usage: scripts/verify/truth.sh l1|l2|l3|l4|think
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

skip() { echo "SKIP measured=none $*"; exit 0; }

missing=()
for tool in wrk hey; do have $tool || missing+=("$tool"); done
if [ ${#missing[@]} -gt 0 ]; then
  { [ "$(id -u)" -eq 0 ] && have apt-get; } || skip "missing: ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2 || skip "cannot install ${missing[*]}"
fi
OHA=$PWD/target/tools/bin/oha
[ -x "$OHA" ] || cargo install oha --locked --quiet --root target/tools --target-dir target/tools/build >&2 || skip "cannot install oha"
export OHA

cargo build --release --quiet -p offgridflow-loadtest >&2
cargo build --release --quiet -p benches --features truth --bin loadtest-truth >&2
target=${CARGO_TARGET_DIR:-target}
export OURS=$PWD/$target/release/offgridflow-loadtest
[ -x "$OURS" ] || OURS=$target/release/offgridflow-loadtest
"$target/release/loadtest-truth" "$1"
