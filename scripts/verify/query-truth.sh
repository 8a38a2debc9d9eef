#!/usr/bin/env bash
# Builds the program that measures batched writes on servers of its own, and runs one measurement.
# Usage: scripts/verify/query-truth.sh q1|q2|q3|q4|q8
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || have postgres || { echo "SKIP measured=none missing: postgresql"; exit 0; }
have psql || { echo "SKIP measured=none missing: psql"; exit 0; }
[ "$1" != q2 ] || have sqlite3 || { echo "SKIP measured=none missing: sqlite3"; exit 0; }
cargo build --release --quiet -p benches --features query-truth --bin query-truth >&2
"${CARGO_TARGET_DIR:-target}/release/query-truth" "$1"
