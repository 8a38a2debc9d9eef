#!/usr/bin/env bash
# C1: seeded simulation of three to five nodes: no seed breaks a promise. And loom: every order in which readers, an invalidator and a
# writer meet at a flight. Controls: every mutant of the protocol, and moka with a shared store and messages, must be caught.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

export VERIFY_SIZE=${VERIFY_SIZE:-quick} VERIFY_SEED=${VERIFY_SEED:-$(date +%s)}
RUSTFLAGS="${RUSTFLAGS:-} --cfg loom" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/loom \
  cargo test --release --quiet -p offgridflow-cache --test loom_flight >&2 ||
  { echo "FAIL measured=none loom found an order that breaks the flight"; exit 0; }
out=$(cargo test --release --quiet -p offgridflow-cache --features sim,moka --test simulation -- --ignored --exact --nocapture the_promise) ||
  { echo "FAIL measured=none the simulation did not run (seed $VERIFY_SEED)"; exit 0; }
printf '%s\n' "$out" >&2
grep -E '^(PASS|FAIL) ' <<<"$out" || echo "FAIL measured=none no verdict (seed $VERIFY_SEED)"
