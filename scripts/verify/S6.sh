#!/usr/bin/env bash
# S6: two api processes, a worker, Redis and PostgreSQL, each on a host of its own within this machine (network namespaces on one switch, 10 ms and 1 % of loss between them), under load
# while the network is cut in seven ways: the cables of an api, the worker, Redis, PostgreSQL; the answers of Redis, of PostgreSQL, and to clients. Full: four rounds, in four orders.
# The line says what makes delay and loss here. Controls: rows without ids, sent again when their answer is lost, must be there twice; caches that nobody tells must be found too old.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

for program in redis-server psql ip unshare; do have $program || { echo "SKIP measured=none missing: $program"; exit 0; }; done
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || have postgres || { echo "SKIP measured=none missing: postgresql"; exit 0; }
unshare --net true 2>/dev/null || { echo "SKIP measured=none this user may not make network namespaces here: run it as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN"; exit 0; }
rounds=1
[ "${VERIFY_SIZE:-quick}" = full ] && rounds=4
status=0
out=$(S6_ROUNDS=$rounds cargo test --quiet -p offgridflow --test chaos -- --ignored --exact --nocapture the_network_is_cut_and_nothing_is_lost 2>&1) || status=$?
printf '%s\n' "$out" >&2
value() { sed -n "s/^S6 .*\b$1=\([0-9]*\).*/\1/p" <<<"$2"; }
sums=$(grep '^S6 round=' <<<"$out") || { echo "FAIL measured=none no figures"; exit 0; }
total() { value "$1" "$sums" | awk '{ sum += $1 } END { print sum + 0 }'; }
worst() { value "$1" "$sums" | sort -n | tail -n 1; }
how=$(sed -n 's/^S6 \(delay=.*\)/\1/p' <<<"$out" | head -n 1)
duplicates=$(value duplicates "$(grep 'control=at-least-once' <<<"$out")")
overdue=$(value overdue_ms "$(grep 'control=fence-off' <<<"$out")")
measured="$(total lost)-lost,$(total foreign_or_twice)-twice,$(total wrong_totals)-wrong-totals,oldest-total-$(worst worst_stale_ms)ms,$(total unanswered_quiet)-of-quiet-reads-unanswered,recovered-in-$(worst worst_recovery_ms)ms"
word=PASS
[ "$status" -eq 0 ] && [ "${duplicates:-0}" -gt 0 ] && [ "${overdue:-0}" -gt 0 ] || word=FAIL
echo "$word measured=$measured control=at-least-once:${duplicates:-none}-twice,fence-off:${overdue:-none}ms-too-old n=$(total acknowledged) rows over $(total blows) cuts, $(total reads) reads, $(total unanswered_busy) of what is written unanswered; $how"
