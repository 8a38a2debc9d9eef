#!/usr/bin/env bash
# Q6, the checkout: what a checkout from the gate costs over one from sqlx's own pool without its ping, side by side, round by round,
# on SQLite and PostgreSQL. Control: sqlx's pool with its ping must cost more than is allowed. What fingerprints and the observer
# cost comes with the insight suites.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

cargo build --release --quiet -p benches --features gate-truth --bin gate-truth >&2
"${CARGO_TARGET_DIR:-target}/release/gate-truth"
