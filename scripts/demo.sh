#!/usr/bin/env bash
# Builds the example server, starts it on a fresh SQLite file, loads it for 20 s, and prints what was measured.
# Usage: scripts/demo.sh [--input FILE.csv] [--rate N] [--seconds N] [--out FOLDER]
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

step "building the server in release mode: some minutes the first time, then none"
cargo build --release --quiet -p offgridflow
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
exec "$target/release/offgridflow" demo "$@"
