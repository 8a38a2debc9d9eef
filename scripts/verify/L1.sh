#!/usr/bin/env bash
# L1: a server frozen 2 s of 20 s at a steady rate comes back as the percentiles that arithmetic gives, over HTTP and for a closure; so do PostgreSQL and
# Redis (2 runs each, 20 in full size); a frozen generator says that it was the generator. Controls: wrk, hey, and oha without its correction, on the same freeze.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

line=$(scripts/verify/truth.sh l1 | tail -n 1)
case $line in PASS\ * | FAIL\ *) ;; *) printf '%s\n' "$line"; exit 0 ;; esac
runs=2
[ "${VERIFY_SIZE:-quick}" = full ] && runs=20
out=$(VERIFY_RUNS=$runs cargo test --release --quiet -p offgridflow-loadtest --features sql,redis --test databases -- --ignored --exact --nocapture \
  l1_frozen_databases_are_as_slow_as_arithmetic_says 2>&1) || true
printf '%s\n' "$out" >&2
for kind in sql redis; do
  # A run that says of itself that the machine was too busy is no answer, and does not count.
  read -r n worst < <(grep -oE "L1 $kind .*" <<<"$out" | grep -v GeneratorBound |
    awk '{ split($4, off, "="); if (off[2] > worst) worst = off[2]; n++ } END { print n + 0, worst + 0 }')
  { [ "$n" -gt 0 ] && awk -v worst="$worst" 'BEGIN { exit !(worst <= 2) }'; } || line=${line/#PASS/FAIL}
  line=${line/ control=/,$kind:off-by-$worst%-in-$n-runs control=}
done
printf '%s\n' "$line"
