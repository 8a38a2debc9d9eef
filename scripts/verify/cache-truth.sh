#!/usr/bin/env bash
# Builds the program that measures the cache beside the maps that it is built on, and runs one measurement.
# Usage: scripts/verify/cache-truth.sh c3|c8
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

cargo build --release --quiet -p benches --features cache-truth --bin cache-truth >&2
"${CARGO_TARGET_DIR:-target}/release/cache-truth" "$1"
