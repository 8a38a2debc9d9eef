#!/usr/bin/env bash
# C1: seeded simulation of three to five nodes: no seed breaks a promise. And loom: every order in which readers, an invalidator and a
# writer meet at a flight. And fleets of four real processes, whose history is held against the same promises: over one Redis behind
# links that fail (fleet), with scripts denied (acl), over a cluster of three (cluster). Controls: every mutant of the protocol, and
# moka with a shared store and messages, must be caught.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

have redis-server || { echo "SKIP measured=none missing: redis-server"; exit 0; }
export VERIFY_SIZE=${VERIFY_SIZE:-quick} VERIFY_SEED=${VERIFY_SEED:-$(date +%s)}
RUSTFLAGS="${RUSTFLAGS:-} --cfg loom" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/loom \
  cargo test --release --quiet -p offgridflow-cache --test loom_flight >&2 ||
  { echo "FAIL measured=none loom found an order that breaks the flight"; exit 0; }

verdict() { # of a test's promise: its line
  local out
  out=$(cargo test --release --quiet -p offgridflow-cache --all-features --test "$1" -- --ignored --exact --nocapture the_promise) || true
  printf '%s\n' "$out" >&2
  grep -E '^(PASS|FAIL) ' <<<"$out" || echo "FAIL measured=none $1: no verdict (seed $VERIFY_SEED)"
}
part() { sed -n "s/.*$2=\(.*\) $3=.*/\1/p" <<<"$1"; } # what a line says between two names

# A full size that does not fit is gone on with by the next call.
minutes=${VERIFY_FOR:-8m}
case $minutes in *s) time=${minutes%s} ;; *h) time=$((${minutes%h} * 3600)) ;; *) time=$((${minutes%m} * 60)) ;; esac
simulated=$(verdict simulation)
left=$((time - SECONDS))
export FLEET_SECONDS=$((left > 60 ? left : 60))
fleets=$(verdict fleet)
[[ $simulated == *measured=none* ]] && { echo "$simulated"; exit 0; }
[[ $fleets == *measured=none* ]] && { echo "$fleets"; exit 0; }
word=FAIL
[[ $simulated == PASS* && $fleets == PASS* ]] && word=PASS
figures=${fleets#* }
echo "$word measured=$(part "$simulated" measured control),${figures%% *} control=$(part "$simulated" control n), $(part "$fleets" control n) n=${simulated##* n=} fleets: ${figures#* n=}"
