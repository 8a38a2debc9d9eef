#!/usr/bin/env bash
# P3: signal torture. Signals are sent, beside the profiler's own, to threads that panic and catch it, take backtraces, open and close libraries,
# allocate, fork and end (quick: 100 000 signals twice, full: a million six times). Measured: crashes and hangs of this workspace's engine
# (pprof with framehop), and whether it gives a profile in a program linked statically. Control: pprof's default unwinder, which calls libgcc in the handler. LATER where pprof's handler itself does not survive:
# an engine of our own follows.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

signals=100000 runs=2
[ "${VERIFY_SIZE:-quick}" = full ] && signals=1000000 runs=6
ends() { # engine
  local crashed=0 hung=0 survived=0 said
  for _ in $(seq "$runs"); do
    said=$(scripts/verify/pprof-modes.sh "$1" torture "$signals" $((signals / 1000 + 60)))
    case $said in signals=*) survived=$((survived + 1)) ;; hung) hung=$((hung + 1)) ;; *) crashed=$((crashed + 1)) ;; esac
    printf '%s: %s\n' "$1" "$said" >&2
  done
  echo "$crashed $hung $survived"
}
read -r crashed hung survived < <(ends ours)
static=$(STATIC=1 scripts/verify/pprof-modes.sh ours shares 5 120)
case $static in worst=*) static=profiled ;; esac
read -r control_crashed control_hung _ < <(ends default-unwinder)
word=LATER
[ "$survived" -eq "$runs" ] && [ "$static" = profiled ] && [ $((control_crashed + control_hung)) -gt 0 ] && word=PASS
echo "$word measured=crashes-$crashed-of-$runs,hangs-$hung-of-$runs,static-program-$static control=default-unwinder:crashes-$control_crashed-of-$runs,hangs-$control_hung-of-$runs n=$signals-signals,$runs-runs"
