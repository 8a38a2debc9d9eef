#!/usr/bin/env bash
# O3: every query of every panel finds a number, asked of a real Prometheus that scrapes the live roles and exporters under load; those that need a cluster, of
# recorded series. The boards are as the code makes them and break none of the linter's eleven rules; Grafana's own types, where they can be had (PyPI), lose nothing of them.
# Controls: faults planted in a copy, each of which must be found and named: a board edited by hand, a query that promtool cannot read, a rule that is broken, a panel whose
# metric was renamed on recorded series, a data source with another interval, a Prometheus that is down, a field that Grafana does not know; and live, a panel that is empty, and an exporter without
# rights.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
measured=none
source scripts/verify/faults.sh

have promtool || may_install || { echo "SKIP measured=none missing: prometheus and the exporters"; exit 0; }
said=$(scripts/observe.sh --check 2>"$work/err") || { cat "$work/err" >&2; printf '%s\n' "$said" >&2; fail "scripts/observe.sh --check: $(tail -n 1 <<<"$said")"; }
line=$(grep -E '^5 boards, [0-9]+ queries' <<<"$said") || fail "the boards were not asked"
read -r all recorded live < <(sed -E 's/.*, ([0-9]+) queries, ([0-9]+) of them .*, ([0-9]+) live/\1 \2 \3/' <<<"$line")
[ "$all" -eq $((recorded + live)) ] || fail "of $all queries $live were asked live, $recorded of recorded series"
measured=$all/$all

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
boards=infra/grafana/dashboards
check() { BOARDS_BIN=$target/debug/boards "$work/copy/scripts/check-dashboards.sh"; }
planted "^$boards/api-dashboard.json: line [0-9]+ is not as the code has it" $boards/api-dashboard.json '0,/"unit": "s"/ s//"unit": "ms"/' check
planted "^$boards: promtool refuses a query" $boards/worker-dashboard.json 's/max by \(queue\)/maximum by (queue)/' check
planted "^$boards/stack-dashboard.json: panel .Reads.: target-job-rule" $boards/stack-dashboard.json 's/cache_requests_total\{job=~[^ ]* /cache_requests_total{/' check
planted "^$boards/stack-dashboard.json: template-instance-rule" $boards/stack-dashboard.json 's/"name": "instance"/"name": "pod"/' check
planted "$boards/system-dashboard.json: panel .Restarts. finds nothing in" $boards/system-dashboard.json 's/kube_pod_container_status_restarts_total/kube_pod_restarts_total/' check
planted 'timeInterval is not 15s' infra/grafana/provisioning/datasources/prometheus.yml 's/15s/60s/' check

# Grafana's own types, where a network leads to them.
reader=target/verify/grafana types="not read by Grafana's types: they could not be had"
if "$reader/bin/python" -c 'import grafana_foundation_sdk' 2>/dev/null ||
  { python3 -m venv "$reader" && "$reader/bin/pip" -q install 'grafana-foundation-sdk==1769699998!10.1.0'; } >&2; then
  read_back() { "$reader/bin/python" infra/boards/read_back.py "$@"; }
  read_back $boards/*.json >"$work/lost" || { cat "$work/lost" >&2; fail "$(head -n 1 "$work/lost")"; }
  planted "worker-dashboard.json: Grafana's types do not know .panels\\[1\\].gridpos" $boards/worker-dashboard.json 's/"gridPos"/"gridpos"/' \
    read_back "$work/copy/$boards/worker-dashboard.json"
  types="read by Grafana's own types"
fi

down() { BOARDS_BIN=$target/debug/boards "$work/copy/scripts/check-dashboards.sh" --live http://127.0.0.1:9; }
planted 'no Prometheus answers there' scripts/check-dashboards.sh '$ a # changed' down

# Live: a metric that nobody exports any more. The file is put right for all but its name, so that only the live Prometheus can tell.
live() { BOARDS_PATIENCE=20 OBSERVE_BIN=$work/bin "$work/copy/scripts/observe.sh" --check; }
mkdir "$work/bin"
for name in offgridflow testkit; do ln -s "$target/debug/$name" "$work/bin/$name"; done
printf "%s\n" "#!/bin/sh" "[ \"\$1\" = check ] && exit 0" "exec $target/debug/boards \"\$@\"" >"$work/bin/boards"
chmod +x "$work/bin/boards"
planted "^$boards/stack-dashboard.json: panel .Loads under way. is empty" $boards/stack-dashboard.json 's/offgridflow_cache_loads_in_flight/offgridflow_cache_loads_going/' live
# shellcheck disable=SC2016 # it is the planted script that expands them
planted "^$boards/database-dashboard.json: panel .Time in statements. is empty" scripts/observe.sh \
  's/(EXTENSION IF NOT EXISTS pg_stat_statements)/\1; CREATE ROLE nobody LOGIN/; s/DATA_SOURCE_NAME="\$OFFGRIDFLOW_TESTKIT_POSTGRES/DATA_SOURCE_NAME="${OFFGRIDFLOW_TESTKIT_POSTGRES\/postgres@\/nobody@}/' live

echo "PASS measured=$measured control=$found planted faults found and named n=$all $live live, $recorded on recorded series, $types"
