#!/usr/bin/env bash
# B7: synthetic histories of up to 200 commits, three series in ten with a step of 5 %: steps found within five commits and where they
# are, and the share of findings that are wrong. Control: a fixed threshold on the same series.
# VERIFY_SEED picks the seed; without it, one nobody has seen.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

size=()
[ "${VERIFY_SIZE:-quick}" = full ] && size=(--full)
[ -z "${VERIFY_SEED:-}" ] || size+=(--seed "$VERIFY_SEED")
cargo run --release --quiet -p offgridflow-bench -- selftest history "${size[@]}" || true
