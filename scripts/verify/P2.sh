#!/usr/bin/env bash
# P2: CPU attribution. Six bodies of work, a third of it in C's library, on two threads at 99 Hz until there are 10 000 samples' worth of
# CPU time (quick: 2 000); the truth is CPU time counted around each call. Measured: the worst share's error, samples short of rate × CPU
# time, and how often the leaf is the function itself where that is no library's. Controls, each a build of its own: pprof with frame pointers, with its
# default unwinder, and with that and the blocklist of its documentation. LATER where pprof's sampling cannot reach the target: an engine of our own follows.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

seconds=21
[ "${VERIFY_SIZE:-quick}" = full ] && seconds=105
run() { scripts/verify/pprof-modes.sh "$1" shares "$seconds" $((seconds * 20)); }
figure() { sed -n "s/.*\b$2=\([0-9.-]*\).*/\1/p" <<<"$1"; }
ours=$(run ours)
[[ $ours == worst=* ]] || { echo "FAIL measured=none the engine ended: $ours"; exit 0; }
frames=$(run frame-pointer)
default=$(run default-unwinder)
blocklist=$(BLOCKLIST=1 run default-unwinder)
read -r worst short leaf samples < <(echo "$(figure "$ours" worst) $(figure "$ours" short) $(figure "$ours" leaf) $(figure "$ours" samples)")
# Fewer samples than asked for: three spreads of the largest share.
reached=$(awk -v w="$worst" -v s="$short" -v l="$leaf" -v n="$samples" 'BEGIN { noise = 300 * sqrt(0.3 * 0.7 / n); allowed = noise > 1.5 ? noise : 1.5; print (w <= allowed && s <= 3 && s >= -3 && l >= 99) }')
# A control that meets the target would mean that the measurement sees nothing.
fails=$(awk -v l="$(figure "$frames" leaf)" 'BEGIN { print (l == "" || l < 99) }')
word=LATER
[ "$reached" = 1 ] && word=PASS
[ "$fails" = 1 ] || word=FAIL
say() { if [[ $1 == worst=* ]]; then echo "worst-$(figure "$1" worst),leaf-$(figure "$1" leaf)%,short-$(figure "$1" short)%"; else echo "$1"; fi; }
echo "$word measured=worst-share-off-by-$worst-points,leaf-right-$leaf%,samples-short-by-$short% control=frame-pointers:$(say "$frames");default-unwinder:$(say "$default");blocklist:$(say "$blocklist") n=$samples-samples"
