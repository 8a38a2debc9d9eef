#!/usr/bin/env bash
# Runs the server on SQLite at a free loopback port: API, worker and page in one process.
# Usage: scripts/dev.sh [ARGUMENTS OF `offgridflow all` …]
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

mkdir -p target/dev
exec cargo run --quiet -p offgridflow -- all --listen 127.0.0.1:0 --database-url sqlite:target/dev/offgridflow.db "$@"
