#!/usr/bin/env bash
# Plots rows/s into PostgreSQL against the rows of a batch and the delay of the network: BatchWriter beside push_values, UNNEST and COPY by
# hand, tokio-postgres and psql. Writes query-plot.csv and query-plot.svg. VERIFY_SIZE=full measures nine rounds instead of three.
# Usage: scripts/plot-query.sh [FOLDER]   (default: target/plots)
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

have psql || die "missing: psql"
cargo build --release --quiet -p benches --features query-plot --bin query-plot
"${CARGO_TARGET_DIR:-target}/release/query-plot" "${1:-target/plots}"
