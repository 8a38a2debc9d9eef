#!/usr/bin/env bash
# P5: the memory verdict on every family of docs/design/trend-families.md, 1 000 fresh seeds each (quick: 300), and the alarm over
# months of quiet half hours; then memory over a day (full: two), asked every ten minutes. Controls: Mann-Kendall's test of the raw readings, and "five rises in a row".
# VERIFY_SEED picks the first seed; without it, one nobody has seen.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

seeds=300 months=1 streams=2 hours=24
[ "${VERIFY_SIZE:-quick}" = full ] && seeds=1000 months=10 streams=20 hours=48
first=${VERIFY_SEED:-$((RANDOM * 32768 + RANDOM))}
mkdir -p target/verify
table=target/verify/P5.tsv
cargo run --release --quiet -p offgridflow-profile --no-default-features --features families --example rates -- "$seeds" "$first" "$months" "$streams" "$hours" >"$table"
column -t -s $'\t' "$table" >&2

# The exact lower 99 % bound of a rate exceeds the target when so many or more are improbable (< 1 %) at the target itself.
awk -F '\t' -v seeds="$seeds" -v months="$months" -v first="$first" -v hours="$hours" '
  function improbable(k, p,   q, i, sum) { # P(X >= k), X binomial(seeds, p)
    q = exp(seeds * log(1 - p)); sum = 0
    for (i = 0; i < k; i++) { sum += q; q *= (seeds - i) / (i + 1) * p / (1 - p) }
    return 1 - sum < 0.01
  }
  $1 == "alarms" { alarms += $3; families++; next }
  $1 == "stream" { # cycles of up to half an hour: no alarm, at most 1 % of the answers; a leak: an alarm in every run that is long enough
    split($6, of, " "); split($7, in_runs, " "); split($8, runs, " ")
    if ($3 == "Quiet" && $4 <= 1800) {
      cycles++; said += $5; asked += of[2]; cycle_alarms += in_runs[3]
      if (in_runs[3] > 0 || $5 > 0.01 * of[2]) bad = bad " stream-" $2 ":" $5 "-said," in_runs[3] "-alarms"
    }
    if (($3 == "Leak" || ($3 == "HiddenLeak" && hours >= 48)) && in_runs[3] < runs[2]) bad = bad " stream-" $2 ":" in_runs[3] "-alarms"
    next
  }
  $2 == "Undecided" { next }
  $2 == "Leak" || $2 == "HiddenLeak" {
    share = 100 * $3 / seeds; least = $2 == "Leak" ? 95 : 90
    if (share < least) bad = bad " " $1 ":" share "%"
    if ($2 == "Leak" && (power == "" || share < power)) power = share
    if ($2 == "HiddenLeak" && (hidden == "" || share < hidden)) hidden = share
    next
  }
  NF >= 9 && $1 != "family" {
    quiet++
    if (improbable($3, $2 == "Wandering" ? 0.03 : 0.01)) bad = bad " " $1 ":" $3 "-false"
    if ($2 == "Wandering") walk = 100 * $3 / seeds; else if (100 * $3 / seeds > worst) worst = 100 * $3 / seeds
    if (improbable($8, 0.01)) kendall++
    if (improbable($9, 0.01)) rises++
  }
  END {
    if (alarms * 100 > months * families + 100) bad = bad " alarms:" alarms
    control = kendall > quiet / 2 && rises > quiet / 2
    word = bad == "" && control && quiet >= 12 && cycles >= 6 ? "PASS" : "FAIL"
    printf "%s measured=false-leaks-at-most-%.1f%%,random-walk-%.1f%%,power-at-least-%.1f%%,beneath-season-or-sawtooth-%.1f%%,alarms-%d-in-%d-quiet-months,long-cycles-%d-of-%d-answers-and-%d-alarms control=plain-Mann-Kendall-fails-%d-of-%d-families,five-rises-%d n=%d-seeds-from-%d%s\n", word, worst, walk, power, hidden, alarms, months * families, said, asked, cycle_alarms, kendall, quiet, rises, seeds, first, bad == "" ? "" : " failing:" bad
  }' "$table"
