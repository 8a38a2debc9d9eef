#!/usr/bin/env bash
# L7: a search finds the highest rate that meets an SLO. Servers whose limits are known, in virtual time, fresh ones each time; in full size also a loopback
# server capped at 5 000/s, by the command, within 3 % and 120 s. Controls: the same search decided by percentiles as they stand, and the highest
# rate that was answered on the way, each in less than 95 % of the runs at its worst server.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

export VERIFY_SIZE=${VERIFY_SIZE:-quick} VERIFY_SEED=${VERIFY_SEED:-$(date +%s)}
run() { cargo test --release --quiet -p offgridflow-loadtest "$1" -- --ignored --exact --nocapture "$2"; }
out=$(run --lib search::tests::the_promise) ||
  { echo "FAIL measured=none the simulation did not run (seed $VERIFY_SEED)"; exit 0; }
printf '%s\n' "$out" >&2
line=$(grep -E '^(PASS|FAIL) ' <<<"$out") || { echo "FAIL measured=none no verdict (seed $VERIFY_SEED)"; exit 0; }
if [ "$VERIFY_SIZE" = full ]; then
  near() { grep -oE 'LOOPBACK .*' <<<"$1" | awk '{ split($4, off, "="); split($5, took, "="); exit !(off[2] <= 3 && took[2] <= 120) }'; }
  # What else runs on the machine may keep the generator from its rate, which it says (code 3): such a run is no answer and is asked again.
  for _ in 1 2 3; do
    loop=$(run --test=search command::a_loopback_server_capped_at_5000_a_second_is_found_within_3_percent_in_120_s 2>&1) || true
    printf '%s\n' "$loop" >&2
    grep -q 'LOOPBACK code=3' <<<"$loop" || break
  done
  found=$(grep -oE 'rate=.*' <<<"$loop" | tr ' ' ',') || found=none
  near "$loop" || line=${line/#PASS/FAIL}
  line=${line/ control=/,loopback-5000:$found control=}
fi
printf '%s\n' "$line"
