#!/usr/bin/env bash
# B1: rounds of one revision against itself, recorded beside a busy loop and bursts of writing, judged again with 10 000 sets of coins: how
# often the suite is red. The sides' exchangeability on the same rounds. Controls: dropping after seeing, fixed t and peeking must be red too
# often (a fixed order, too, where the machine has an order effect); criterion's own rule and critcmp at 5 % beside.
# VERIFY_SEED picks the seed; without it, one nobody has seen.
source "$(dirname "$0")/bench-lab.sh"

if [ "${VERIFY_SIZE:-quick}" = full ]; then recorded 120 480 in; else recorded 20 165 'in cache'; fi
size=()
[ "${VERIFY_SIZE:-quick}" = full ] && size=(--full)
[ -z "${VERIFY_SEED:-}" ] || size+=(--seed "$VERIFY_SEED")
"$BENCH" selftest aa "$RECORDED" "${size[@]}" || true
