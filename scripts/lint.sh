#!/usr/bin/env bash
# Formatting, clippy, each crate alone with each feature, documentation, dependency promises, shell scripts.
# Usage: scripts/lint.sh
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

step "format"
cargo fmt --all --check

step "clippy, everything on"
cargo clippy --quiet --workspace --all-targets --features "$ALL_FEATURES" -- -D warnings

step "each crate alone: no features, each feature"
for name in "${CRATES[@]}"; do
  crate=offgridflow-$name
  cargo check --quiet -p "$crate" --no-default-features
  for feature in $(scripts/features.sh "$crate"); do
    cargo check --quiet -p "$crate" --no-default-features --features "$feature" || die "$crate fails with --features $feature alone"
  done
done

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --workspace --exclude benches --features "$ALL_FEATURES"

step "dependency promises"
scripts/check-dependencies.sh

if have shellcheck; then
  step "shell scripts"
  shellcheck -x --source-path=SCRIPTDIR scripts/*.sh scripts/verify/*.sh .ci/run
fi
