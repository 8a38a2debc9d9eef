#!/usr/bin/env bash
# O4: every alert has a test in which it fires and one in which it stays silent, and the tests hold: with every alert made mute, each
# alert's own tests fail, and with every alert made loud as well. Measured by `scripts/check-alerts.sh`, live against the server's roles.
# Control: faults planted in a copy, which that script must find, and name with file and rule: an alert that cannot fire, a metric
# that was renamed, a test, a page and a severity that are gone, a route that leads astray; and live, a metric and a
# label that no server has, and a page that asks what Prometheus cannot answer.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
measured=none
source scripts/verify/faults.sh
have promtool || may_install || { echo "SKIP measured=none missing: prometheus, prometheus-alertmanager and the exporters"; exit 0; }
said=$(scripts/observe.sh --check 2>"$work/err" | tail -n 1) || { cat "$work/err" >&2; fail "scripts/observe.sh --check: $said"; }
total=$(awk -f scripts/rules.awk infra/prometheus/rules/*.yml | grep -c '^alert')

# Every alert's expression replaced; what is recorded stays.
mutant() { # expression, in which tests of it then fail: `exp:` or `got:` empty
  fresh
  local rules
  for rules in "$work"/copy/infra/prometheus/rules/*.yml; do
    awk -v expr="$1" '
      /^ *- (alert|record): / { alert = /- alert: /; skip = 0 }
      /^ *expr:/ && alert { print "        expr: " expr; skip = /[|]$/; next }
      skip && /^          / { next }
      { skip = 0; print }' "$rules" >"$rules.new"
    mv "$rules.new" "$rules"
  done
  promtool test rules "$work"/copy/infra/prometheus/tests/*.yml >"$work/tests" 2>&1 && return 1
  awk -v empty="$2" '/alertname: / { name = $2; sub(/,$/, "", name) } index($0, empty "[]") { print name }' "$work/tests" | sort -u | wc -l
}
mute=$(mutant 'vector(0) > 1' got:) || fail "alerts that cannot fire pass the tests"
loud=$(mutant 'vector(1)' exp:) || fail "alerts that always fire pass the tests"
measured="$total/$total"
[ "$mute" -eq "$total" ] || fail "made mute, only $mute of $total alerts fail a test"
[ "$loud" -eq "$total" ] || fail "made loud, only $loud of $total alerts fail a test"

check() { "$work/copy/scripts/check-alerts.sh"; }
rules=infra/prometheus/rules tests=infra/prometheus/tests
planted 'alertname: RedisDown,' $rules/cache.yml 's/redis_up == 0/redis_up < 0/' check
planted "^$rules/cache.yml:[0-9]+: RedisDown: nobody exports .redis_alive" $rules/cache.yml 's/redis_up == 0/redis_alive == 0/' check
planted "^$rules/database.yml:[0-9]+: PoolExhausted: nobody exports" $rules/database.yml 's/and on \(job, instance, pool\)$/& pool_gone/' check
planted "^$rules/cache.yml:[0-9]+: RedisEvicts: no test in which it stays silent" $tests/cache.yml '/name: "Redis evicted once"/,$ d' check
planted "^$rules/work.yml:[0-9]+: ProbeFails: runbook_url leads to no heading" $rules/work.yml 's/probe-fails.md/probe-failed.md/' check
planted "^$rules/targets.yml:[0-9]+: ApiDown: severity is" $rules/targets.yml '0,/severity: page/ s//severity: critical/' check
planted "^$tests/routes.txt:[0-9]+: severity=page .* must reach page" infra/alertmanager.yml 's/severity = "page"/severity = "pager"/' check
planted 'offgridflow_gone_total: not in the source code' infra/prometheus/metrics.txt '$ a offgridflow_gone_total api event' check

# Live: the list speaks of a name, and a rule of a label, that nobody has. The copy builds nothing.
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
live() { OBSERVE_BIN=$target/debug "$work/copy/scripts/observe.sh" --check; }
planted 'offgridflow_gone: http.* does not export it' infra/prometheus/metrics.txt '$ a offgridflow_gone web always' live
planted '^docs/runbook/pool-exhausted.md:[0-9]+: Prometheus refuses' docs/runbook/pool-exhausted.md 's/sum by \(le, pool\)/sum by (le, pool/' live
planted "^$rules/work.yml:[0-9]+: ProbeBudgetBurnsFast: .* has no label .pace." $rules/work.yml 's/speed="fast"/pace="fast"/' live

echo "PASS measured=$measured control=$found planted faults found; $mute mute and $loud loud alerts fail their tests n=$total $said"
