# shellcheck shell=bash
# Sourced by S3.sh and S6.sh: runs a test of examples/tests/chaos, reads its figures, and prints the promise's line.

needs_servers() { # programs beside PostgreSQL …
  local program
  for program in "$@"; do have "$program" || { echo "SKIP measured=none missing: $program"; exit 0; }; done
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || have postgres || { echo "SKIP measured=none missing: postgresql"; exit 0; }
}

survived() { # id, test, what strikes, a pattern of what else the line should say
  local id=$1 test=$2 strikes=$3 also=$4 status=0 word=PASS out sums duplicates overdue measured more=''
  local rounds=1
  [ "${VERIFY_SIZE:-quick}" = full ] && rounds=4
  out=$(env "${id}_ROUNDS=$rounds" cargo test --quiet -p offgridflow --test chaos -- --ignored --exact --nocapture "$test" 2>&1) || status=$?
  printf '%s\n' "$out" >&2
  sums=$(grep "^$id round=" <<<"$out") || { echo "FAIL measured=none no figures"; exit 0; }
  value() { sed -n "s/^$id .*\b$1=\([0-9]*\).*/\1/p" <<<"$2"; }
  total() { value "$1" "$sums" | awk '{ sum += $1 } END { print sum + 0 }'; }
  worst() { value "$1" "$sums" | sort -n | tail -n 1; }
  duplicates=$(value duplicates "$(grep 'control=at-least-once' <<<"$out")")
  overdue=$(value overdue_ms "$(grep 'control=fence-off' <<<"$out")")
  [ -z "$also" ] || more="; $(sed -n "s/^$id \($also\)/\1/p" <<<"$out" | head -n 1)"
  measured="$(total lost)-lost,$(total foreign_or_twice)-twice,$(total wrong_totals)-wrong-totals,oldest-total-$(worst worst_stale_ms)ms,$(total unanswered_quiet)-of-quiet-reads-unanswered,recovered-in-$(worst worst_recovery_ms)ms"
  [ "$status" -eq 0 ] && [ "${duplicates:-0}" -gt 0 ] && [ "${overdue:-0}" -gt 0 ] || word=FAIL
  echo "$word measured=$measured control=at-least-once:${duplicates:-none}-twice,fence-off:${overdue:-none}ms-too-old n=$(total acknowledged) rows under $(total blows) $strikes, $(total reads) reads, $(total unanswered_busy) of what is written unanswered, $(total skipped) $strikes skipped$more"
}
