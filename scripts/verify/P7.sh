#!/usr/bin/env bash
# P7: own bounds. A million wrapped futures and ten thousand windows: memory beyond what is inside the futures; the ring's folder, read
# again and again; every file parses after kills in the middle of writing (quick: 8, full: 100); a future grows by 32 bytes at most.
# Control: a ring without bounds keeps every window.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

kills=8
[ "${VERIFY_SIZE:-quick}" = full ] && kills=100
run() { cargo test --release --quiet -p offgridflow-profile --no-default-features --features profiler "$@" -- --nocapture p7_ 2>&1; }
out=$(OFFGRIDFLOW_KILLS=$kills run --lib --test ring --test bounds) || { printf '%s\n' "$out" >&2; echo "FAIL measured=none a bound does not hold"; exit 0; }
read -r tasks windows disk cap < <(sed -n 's/.*P7 tasks=\([0-9]*\) windows=\([0-9]*\) disk=\([0-9]*\) cap=\([0-9]*\).*/\1 \2 \3 \4/p' <<<"$out")
control=$(sed -n 's/.*P7 control: an unbounded ring keeps \([0-9]*\) of.*/\1/p' <<<"$out")
{ [ -n "${cap:-}" ] && [ -n "$control" ]; } || { printf '%s\n' "$out" >&2; echo "FAIL measured=none no figures"; exit 0; }
echo "PASS measured=$(((tasks + windows) / 1024))-KiB-beyond-the-futures,disk-$disk-of-$cap,every-file-parses control=an-unbounded-ring-keeps-all-$control n=1000000-tasks,10000-windows,$kills-kills"
