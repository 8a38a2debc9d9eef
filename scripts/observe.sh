#!/usr/bin/env bash
# Starts the server's roles on a PostgreSQL and a Redis of their own, exporters for both and for the machine, a load generator and some traffic, and a
# Prometheus that scrapes them all with the rules of infra/prometheus; waits until every target is up, prints the addresses, and stops all of it
# on Ctrl-C. Every port is picked by the system; everything is stopped by its own process id.
# Usage: scripts/observe.sh [--check]
#   --check  instead of waiting: every rule must evaluate, no alert fire, each name of infra/prometheus/metrics.txt be exported, promtool find no fault with
#            what the roles export, each family stay within its budget of series, and every query of the boards find a number
# Exit status: 0 ended or all is well, 1 a fault, 4 something could not be started.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

check=no
[ "${1:-}" = --check ] && check=yes

tools() {
  local missing=()
  have prometheus || missing+=(prometheus)
  have prometheus-postgres-exporter || missing+=(prometheus-postgres-exporter)
  have prometheus-redis-exporter || missing+=(prometheus-redis-exporter)
  have prometheus-node-exporter || missing+=(prometheus-node-exporter)
  need_packages "${missing[@]}"
}

# The first run builds, and begins again with private servers beside it.
if [ -z "${OFFGRIDFLOW_TESTKIT_POSTGRES:-}" ]; then
  tools
  if [ -z "${OBSERVE_BIN:-}" ]; then
    scripts/setup.sh
    step "building"
    cargo build --quiet -p offgridflow -p testkit -p boards
    OBSERVE_BIN=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug
  fi
  export OBSERVE_BIN
  exec "$OBSERVE_BIN/testkit" run --set shared_preload_libraries=pg_stat_statements -- scripts/observe.sh "$@"
fi
server=$OBSERVE_BIN/offgridflow

out=$(mktemp -d)
declare -A pid address
stop() {
  local name
  for name in traffic loadtest prometheus web worker api postgres redis node; do
    [ -z "${pid[$name]:-}" ] || kill "${pid[$name]}" 2>/dev/null || true
  done
  wait
  rm -rf "$out"
}
trap stop EXIT
trap 'exit 0' INT TERM

start() { # name, command …
  local name=$1
  shift
  "$@" >"$out/$name.log" 2>&1 &
  pid[$name]=$!
}

gone() { tail -n 20 "$out/$1.log" >&2; die "$1 ended, or did not come up; above is its log"; }

# The port a process listens at: the one of its sockets that the kernel lists as listening (state 0A).
port_of() { # pid
  local sockets
  sockets=$(find "/proc/$1/fd" -lname 'socket:*' -printf '%l ' 2>/dev/null | sed 's/socket:\[//g; s/\]//g') || return 1
  printf '%d\n' "0x$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v sockets=" $sockets" '
    $4 == "0A" && index(sockets, " " $10 " ") { n = split($2, part, ":"); print part[n]; exit }')" 2>/dev/null
}

# Waits until a process listens, and notes where.
listens() { # name
  local port
  for _ in $(seq 300); do
    kill -0 "${pid[$1]}" 2>/dev/null || gone "$1"
    port=$(port_of "${pid[$1]}") && [ "$port" -gt 0 ] && { address[$1]=127.0.0.1:$port; return 0; }
    sleep 0.1
  done
  gone "$1"
}

# A few requests of each kind, and a changed factor now and then, which is a job for the worker.
traffic() {
  local n=0 row
  while :; do
    n=$((n + 1))
    row="{\"category\":\"diesel\",\"quantity\":\"$n\",\"period\":\"2024-0$((n % 9 + 1))\"}"
    curl --silent --output /dev/null -H 'content-type: application/x-ndjson' --data "$row" "http://${address[api]}/api/v1/activities"
    curl --silent --output /dev/null "http://${address[api]}/api/v1/emissions?by=month"
    curl --silent --output /dev/null "http://${address[web]}/"
    if [ $((n % 10)) -eq 1 ]; then
      curl --silent --output /dev/null --request PUT -H 'content-type: application/json' \
        --data "{\"unit\":\"GJ\",\"kg_co2e_per_unit\":\"74.$((n / 10 % 7 + 1))\",\"scope\":1,\"source\":\"scripts/observe.sh\"}" "http://${address[api]}/api/v1/factors/diesel"
    fi
    sleep 0.2
  done
}

JOBS=(api worker web loadtest postgres redis node)
# The rules as they are; the jobs by the same names, at this rig's addresses.
configuration() { # interval
  printf 'global: { scrape_interval: %s, evaluation_interval: %s }\n' "$1" "$1"
  printf 'rule_files: ["%s/infra/prometheus/rules/*.yml"]\nscrape_configs:\n' "$PWD"
  local job
  for job in "${JOBS[@]}"; do
    printf '  - { job_name: %s, static_configs: [{ targets: ["%s"] }] }\n' "$job" "${address[$job]}"
  done
  printf '  - { job_name: prometheus, static_configs: [{ targets: ["%s"] }] }\n' "${address[prometheus]:-127.0.0.1:1}"
}

# Asks Prometheus; with `query`, for a value.
ask() { # what, [query]
  curl --silent --show-error --fail --get ${2:+--data-urlencode "query=$2"} "http://${address[prometheus]}/api/v1/$1"
}
count() { { grep -oE "$1" || true; } | wc -l; } # what, in standard input

# Waits until an answer of Prometheus has so many of one thing, and none of another.
until_all() { # what is waited for, wanted, how many, unwanted, question …
  local what=$1 wanted=$2 number=$3 unwanted=$4
  shift 4
  local answer=''
  for _ in $(seq 120); do
    kill -0 "${pid[prometheus]}" 2>/dev/null || gone prometheus
    answer=$(ask "$@" 2>/dev/null) || answer=''
    [ "$(count "$wanted" <<<"$answer")" -ge "$number" ] && [ "$(count "$unwanted" <<<"$answer")" -eq 0 ] && return 0
    sleep 0.5
  done
  { grep -oE '"(scrapeUrl|lastError|name)":"[^"]+"' <<<"$answer" || true; } >&2
  printf 'within a minute not all %s\n' "$what" >&2
  exit 1
}

step "starting"
database=(--database-url "$OFFGRIDFLOW_TESTKIT_POSTGRES" --redis-url "redis://$OFFGRIDFLOW_TESTKIT_REDIS" --probe-secs 1)
psql -X -q -d "$OFFGRIDFLOW_TESTKIT_POSTGRES" -c 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements'
start api "$server" api --listen 127.0.0.1:0 "${database[@]}"
listens api
start worker "$server" worker --listen 127.0.0.1:0 "${database[@]}"
start web "$server" web --listen 127.0.0.1:0 --api-url "http://${address[api]}"
DATA_SOURCE_NAME="$OFFGRIDFLOW_TESTKIT_POSTGRES?sslmode=disable" start postgres prometheus-postgres-exporter --web.listen-address=127.0.0.1:0 \
  --extend.query-path=infra/postgres-exporter/queries.yml
start redis prometheus-redis-exporter -redis.addr "redis://$OFFGRIDFLOW_TESTKIT_REDIS" -web.listen-address 127.0.0.1:0
start node prometheus-node-exporter --web.listen-address=127.0.0.1:0
start loadtest "$server" load --api-url "http://${address[api]}" --listen 127.0.0.1:0 --rate 20 --seconds 86400
for name in worker web postgres redis node loadtest; do listens $name; done
traffic &
pid[traffic]=$!

interval=5s
[ $check = no ] || interval=1s
configuration $interval >"$out/prometheus.yml"
start prometheus prometheus --config.file="$out/prometheus.yml" --storage.tsdb.path="$out/data" --web.listen-address=127.0.0.1:0
listens prometheus
configuration $interval >"$out/prometheus.yml" # once more: now it knows where it listens itself
kill -HUP "${pid[prometheus]}"
jobs=$(grep -c job_name "$out/prometheus.yml")
until_all "targets are up" '"health":"up"' "$jobs" '"health":"(down|unknown)"' targets

for name in "${JOBS[@]}" prometheus; do printf '%-11s http://%s\n' "$name" "${address[$name]}"; done
if [ $check = no ]; then
  printf '%d targets are up; Ctrl-C stops it all\n' "$jobs"
  wait "${pid[prometheus]}" || gone prometheus
fi

rules=$(awk -f scripts/rules.awk infra/prometheus/rules/*.yml | grep -cE '^(alert|record)')
until_all "rules are evaluated" '"health":"ok"' "$rules" '"health":"err"' rules
until_all "jobs are counted" '"value"' 1 '"error"' query 'offgridflow_worker_jobs_total > 0'
until_all "ratios are recorded" '"value"' 1 '"error"' query 'job:http_server_slow:ratio_rate5m >= 0'
firing=$(ask alerts | count '"state":"firing"')
[ "$firing" -eq 0 ] || { ask alerts >&2; printf '%d alerts fire in a rig where nothing is wrong\n' "$firing"; exit 1; }
live=(--live "scrape=http://${address[prometheus]}")
for name in "${JOBS[@]}" prometheus; do live+=(--live "$name=http://${address[$name]}"); done
scripts/check-alerts.sh "${live[@]}" || exit 1
series=()
for name in api worker web loadtest; do series+=("$name=http://${address[$name]}"); done
scripts/check-series.sh "${series[@]}" || exit 1
BOARDS_BIN=$OBSERVE_BIN/boards scripts/check-dashboards.sh --live "http://${address[prometheus]}" || exit 1
printf '%d targets up, %d rules evaluated, none fires\n' "$jobs" "$rules"
