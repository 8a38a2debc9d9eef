#!/usr/bin/env bash
# Line coverage of each of the five crates, by cargo-llvm-cov or cargo-tarpaulin, whichever is there; fails below 80 %.
# Usage: scripts/coverage.sh [CRATE …]
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

if cargo llvm-cov --version >/dev/null 2>&1; then tool=llvm-cov
elif cargo tarpaulin --version >/dev/null 2>&1; then tool=tarpaulin
else
  step "installing cargo-tarpaulin"
  cargo install --quiet --locked cargo-tarpaulin
  tool=tarpaulin
fi
scripts/setup.sh
cargo build --quiet -p testkit
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

# Percent of the lines in the crate's own src/ that its tests ran.
percent() {
  local crate=$1
  case $tool in
    llvm-cov)
      "$target/debug/testkit" run -- cargo llvm-cov --quiet -p "$crate" --features full --summary-only 2>"$target/coverage-$crate.log" |
        awk '$1 == "TOTAL" { sub(/%/, "", $10); print $10 }'
      ;;
    tarpaulin)
      "$target/debug/testkit" run -- cargo tarpaulin --engine llvm --skip-clean --target-dir "$target/tarpaulin" -p "$crate" --features full \
        --include-files "$crate/src/*" --exclude-files "$crate/src/main.rs" --out Stdout 2>"$target/coverage-$crate.log" |
        sed -n 's/^\([0-9.]*\)% coverage.*/\1/p' | tail -n 1
      ;;
  esac
}

crates=("$@")
[ $# -gt 0 ] || crates=("${CRATES[@]/#/offgridflow-}")
low=0
for crate in "${crates[@]}"; do
  covered=$(percent "$crate") || true
  [ -n "$covered" ] || die "$crate was not measured: see $target/coverage-$crate.log"
  printf '%-22s %6s %%\n' "$crate" "$covered"
  awk -v covered="$covered" 'BEGIN { exit covered >= 80 }' && low=1
done
exit $low
