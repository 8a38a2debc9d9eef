#!/usr/bin/env bash
# Installs what is missing, then runs every test, every doc test, and each benchmark once.
# Usage: scripts/test.sh [CARGO NEXTEST FILTER …]
#   OFFGRIDFLOW_DATA=FOLDER also reads the published CO2 table found there.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

scripts/setup.sh
step "building the test kit"
cargo build --quiet -p testkit
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
with_servers=("$target/debug/testkit" run --)

step "tests"
if cargo nextest --version >/dev/null 2>&1; then
  "${with_servers[@]}" cargo nextest run --workspace --features "$ALL_FEATURES" --no-fail-fast "$@"
else
  "${with_servers[@]}" cargo test --workspace --features "$ALL_FEATURES" --lib --bins --tests "$@"
fi
[ $# -eq 0 ] || exit 0

step "tests of what needs a C compiler: TLS, and databases under load"
compiled=offgridflow-loadtest/full,offgridflow-loadtest/tls,offgridflow-loadtest/sql,offgridflow-cache/full,offgridflow-cache/tls
"${with_servers[@]}" cargo test --quiet -p offgridflow-loadtest -p offgridflow-cache --features "$compiled" --test 'tls*' --test databases

step "documentation tests"
"${with_servers[@]}" cargo test --quiet --workspace --doc --features "$ALL_FEATURES"
step "each benchmark once"
"${with_servers[@]}" cargo test --quiet --workspace --benches --features "$ALL_FEATURES"
