#!/usr/bin/env bash
# Prints the features of a crate, one a line, without `default`.
# Usage: scripts/features.sh CRATE
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

awk '
  /^\[/ { inside = ($0 == "[features]"); next }
  inside && match($0, /^[a-z0-9_-]+ *=/) { name = substr($0, 1, RLENGTH); sub(/ *=$/, "", name); if (name != "default") print name }
' "${1:?name a crate}/Cargo.toml"
