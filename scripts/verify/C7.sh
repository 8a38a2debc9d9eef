#!/usr/bin/env bash
# C7: frames of every version decode, and no damaged or foreign frame gives a wrong value or a panic. Control: the same frames as if
# they carried no checksum.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

FRAMES=1000000
[ "${VERIFY_SIZE:-quick}" = full ] && FRAMES=10000000
export FRAMES VERIFY_SEED=${VERIFY_SEED:-$(date +%s)}
test=(cargo test --release --quiet -p offgridflow-cache --all-features --lib --)
goldens=$("${test[@]}" --exact frame::tests::golden_frames_are_read 2>&1) || true
grep -q '1 passed' <<<"$goldens" || { printf '%s\n' "$goldens" >&2; echo "FAIL measured=none a golden frame is not read"; exit 0; }
out=$("${test[@]}" --ignored --exact --nocapture frame::tests::no_damaged_frame_gives_a_wrong_value 2>&1) ||
  { printf '%s\n' "$out" >&2; echo "FAIL measured=none a panic (seed $VERIFY_SEED)"; exit 0; }
read -r frames wrong unchecked < <(sed -n 's/^C7 frames=\([0-9]*\) wrong=\([0-9]*\) unchecked=\([0-9]*\)$/\1 \2 \3/p' <<<"$out")
[ -n "${unchecked:-}" ] || { printf '%s\n' "$out" >&2; echo "FAIL measured=none no figures"; exit 0; }
word=$([ "$wrong" -eq 0 ] && [ "$unchecked" -gt 0 ] && echo PASS || echo FAIL)
echo "$word measured=goldens-read,$wrong-wrong-values,0-panics control=without-checksum:$unchecked-wrong n=$frames seed $VERIFY_SEED"
