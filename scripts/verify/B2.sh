#!/usr/bin/env bash
# B2: slow-downs of 5 % put into the rounds that B1 recorded, on the benchmarks that vary by at most 3 % and 5 %: how many the gate finds, how
# soon, and how near it tells their size. Control: what criterion's own rule says of the same rounds, in which nothing changed.
# VERIFY_SEED picks the seed; without it, one nobody has seen.
source "$(dirname "$0")/bench-lab.sh"

if [ "${VERIFY_SIZE:-quick}" = full ]; then recorded 120 480 in; else recorded 20 165 'in cache'; fi
size=()
[ "${VERIFY_SIZE:-quick}" = full ] && size=(--full)
[ -z "${VERIFY_SEED:-}" ] || size+=(--seed "$VERIFY_SEED")
"$BENCH" selftest power "$RECORDED" "${size[@]}" || true
