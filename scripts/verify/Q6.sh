#!/usr/bin/env bash
# Q6: what a checkout from the gate costs over one from sqlx's own pool without its ping, side by side, round by round, on SQLite and
# PostgreSQL; what an observed statement costs, beside a point read; and what texts that come once leave in memory. Controls: sqlx's pool
# with its ping, and a mutexed map of texts, must cost more than is allowed.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

cargo build --release --quiet -p benches --features gate-truth --bin gate-truth >&2
"${CARGO_TARGET_DIR:-target}/release/gate-truth"
