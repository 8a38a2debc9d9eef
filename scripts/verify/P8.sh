#!/usr/bin/env bash
# P8: incidents whose cause is known, replayed through the trigger engine in virtual time (quick: 20 seeds a kind, full: 100): caught
# within two windows (a leak: after growth passes 5 % of the limit), named right; quiet half hours: no capture; the leak alarm over months of quiet half hours. Live: a leak, a CPU
# regression and a pile-up of tasks in the example server, each caught, named and shown in a page (full: three runs).
# Control: naming from what was captured after the trigger alone.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

seeds=20 months=1 runs=1
[ "${VERIFY_SIZE:-quick}" = full ] && seeds=100 months=10 runs=3
first=${VERIFY_SEED:-$((RANDOM * 32768 + RANDOM))}
mkdir -p target/verify
table=target/verify/P8.tsv
cargo run --release --quiet -p offgridflow-profile --no-default-features --features profiler,families --example replay -- "$seeds" "$first" "$months" >"$table"
column -t -s $'\t' "$table" >&2

live=0
for run in $(seq "$runs"); do
  scripts/incidents.sh --out "target/verify/incidents-$run" >&2 && live=$((live + 1))
done

awk -F '\t' -v first="$first" -v live="$live" -v runs="$runs" '
  function figure(text) { sub(/.* /, "", text); return text + 0 }
  $1 ~ /^(Cpu|Tasks|Pool|Leak)$/ {
    split($6, of, " "); n = of[2]; kinds++
    if (figure($3) < 0.95 * n) bad = bad " " $1 ":in-time-" figure($3) "-of-" n
    if (figure($4) < 0.95 * n) bad = bad " " $1 ":named-" figure($4) "-of-" n
    named += figure($4); without += figure($5); all += n; intime += figure($3)
  }
  $1 == "Quiet" { split($2, of, " "); quiet = of[2]; split($3, of, " "); halves = of[2] }
  $1 == "Months" { split($2, of, " "); false_leaks = of[3]; split($3, of, " "); months = of[2] }
  END {
    if (quiet > 0) bad = bad " captures-in-quiet:" quiet
    if (false_leaks * 100 > months + 100) bad = bad " false-leaks:" false_leaks
    if (live < runs) bad = bad " live:" live "-of-" runs
    control = without < 0.95 * all
    printf "%s measured=in-time-%d,named-%d-of-%d,quiet-captures-%d-of-%d,false-leaks-%d-in-%d-instance-months,live-%d-of-%d control=named-without-before-%d-of-%d n=%d-from-%d%s\n", (bad == "" && control && kinds == 4) ? "PASS" : "FAIL", intime, named, all, quiet, halves, false_leaks, months, live, runs, without, all, all, first, bad == "" ? "" : " failing:" bad
  }' "$table"
