#!/usr/bin/env bash
# Measures what one replica of each role uses, idle and at work, for the autoscalers' simulation, and writes it to infra/k8s/measured.txt: the static executable of
# the images, on a PostgreSQL and a Redis of its own; processor time and memory as its /metrics say.
#   api     under the demonstration's load (`offgridflow load`): most of it totals, some lists, a few writes
#   web     under requests for the page and the figures that it passes on
#   worker  recalculating activities after changes of factors
# The capacity is what a replica does with the processor time that it requests: so much it has wherever it runs, however busy the node.
# Usage: scripts/k8s-measure.sh
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

RATE=200 SECONDS_EACH=20
if [ -z "${OFFGRIDFLOW_TESTKIT_POSTGRES:-}" ]; then
  scripts/setup.sh >&2
  MEASURED_BIN=$(scripts/build.sh)
  cargo build --quiet -p testkit
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  MEASURED_BIN=$MEASURED_BIN exec "$target/debug/testkit" run -- scripts/k8s-measure.sh
fi

work=$(mktemp -d)
declare -A pid url starts
stop() { local name; for name in "${!pid[@]}"; do kill "${pid[$name]}" 2>/dev/null || true; done; wait; rm -rf "$work"; }
trap stop EXIT

start() { # role, argument …
  local began
  : >"$work/$1"
  began=$(date +%s%N)
  "$MEASURED_BIN" "$@" --listen 127.0.0.1:0 >"$work/$1" 2>"$work/$1.err" &
  pid[$1]=$!
  for _ in $(seq 3000); do
    url[$1]=$(sed -n 's/^listening on //p' "$work/$1")
    [ -z "${url[$1]}" ] || break
    kill -0 "${pid[$1]}" 2>/dev/null || die "$1 did not start: $(tail -n 3 "$work/$1.err")"
    sleep 0.01
  done
  starts[$1]=$((($(date +%s%N) - began) / 1000000 + 1))
}

value() { curl --silent --fail "${url[$1]}/metrics" | awk -v name="$2" '$1 == name || index($1, name "{") == 1 { sum += $2 } END { printf "%.6f\n", sum }'; }
cpu() { value "$1" process_cpu_seconds_total; }
memory() { value "$1" process_resident_memory_bytes; }
calculate() { awk "BEGIN { printf \"%.0f\", $1 }"; }

database=(--database-url "$OFFGRIDFLOW_TESTKIT_POSTGRES" --redis-url "redis://$OFFGRIDFLOW_TESTKIT_REDIS")
start api "${database[@]}"
start worker "${database[@]}"
start web --api-url "${url[api]}"

declare -A idle rest cost full request
step "idle, for $SECONDS_EACH s"
sleep 10
for role in api worker web; do idle[$role]=$(cpu $role) rest[$role]=$(memory $role); done
sleep $SECONDS_EACH
for role in api worker web; do idle[$role]=$(calculate "($(cpu $role) - ${idle[$role]}) / $SECONDS_EACH * 1000"); done

# Microseconds of processor time each, beyond what an idle replica takes.
used() { # role, cpu seconds before, how many, seconds
  cost[$1]=$(calculate "($(cpu "$1") - $2 - ${idle[$1]} / 1000 * $4) / $3 * 1000000")
  full[$1]=$(memory "$1")
  [ "${cost[$1]}" -gt 0 ] || die "$1 used no processor time for $3 pieces of work: nothing was measured"
}

step "api: $RATE requests a second for $SECONDS_EACH s"
before=$(cpu api)
"$MEASURED_BIN" load --api-url "${url[api]}" --rate $RATE --seconds $SECONDS_EACH >"$work/load" 2>&1 || true
grep -q "^operations  $((RATE * SECONDS_EACH)) begun, $((RATE * SECONDS_EACH)) ok" "$work/load" || die "not every request was answered: $(grep '^operations' "$work/load")"
used api "$before" $((RATE * SECONDS_EACH)) $SECONDS_EACH

step "web: the page and its figures, 2000 times each"
before=$(cpu web) began=$SECONDS
curl --silent --fail "${url[web]}/?[1-2000]" "${url[web]}/api/v1/performance?[1-2000]" >/dev/null || die "the page was not answered"
used web "$before" 4000 $((SECONDS - began))

step "worker: activities recalculated after changes of factors"
awk 'BEGIN { print "category,quantity,period"; for (i = 0; i < 20000; i++) printf "diesel,%d.5,20%02d-%02d\n", i % 900 + 1, i % 20 + 1, i % 12 + 1 }' >"$work/rows"
curl --silent --fail --output /dev/null -H 'content-type: text/csv' --data-binary "@$work/rows" "${url[api]}/api/v1/activities" || die "no activities were taken"
before=$(cpu worker) records=$(value worker offgridflow_worker_records_total) began=$SECONDS
for factor in 71 72 73; do
  curl --silent --fail --output /dev/null --request PUT --data "{\"unit\":\"GJ\",\"kg_co2e_per_unit\":\"$factor\",\"scope\":1,\"source\":\"a measurement\"}" "${url[api]}/api/v1/factors/diesel" ||
    die "the factor was not taken"
  wanted=$(calculate "$records + 20000")
  until [ "$(calculate "$(value worker offgridflow_worker_records_total)")" -ge "$wanted" ]; do
    [ $((SECONDS - began)) -lt 300 ] || die "the worker is not done after 300 s"
    sleep 0.2
  done
  records=$(value worker offgridflow_worker_records_total)
done
used worker "$before" 60000 $((SECONDS - began))

# What the manifests request.
for role in api worker web; do
  request[$role]=$(awk '$1 == "requests:" { inside = 1; next } inside && $1 == "cpu:" { cpu = $2 } inside && $1 == "memory:" { print cpu, $2; exit }' infra/k8s/$role.yaml)
done
{
  printf '# Written by scripts/k8s-measure.sh, read by scripts/check-hpa.sh: what one replica does with the processor time that it requests.\n'
  printf '# %s, %s, commit %s\n' "$(awk -F ': ' '/model name/ { print $2; exit }' /proc/cpuinfo)" "$(date -u +%F)" "$(git rev-parse --short=12 HEAD)"
  printf '# Memory at work is what was held after %d requests a second; starts in: until it listens.\n# role, what is counted, of it a second, processor, memory, starts in\n' $RATE
  for role in api web worker; do
    case $role in worker) unit=activities ;; *) unit=requests ;; esac
    read -r cpu_request memory_request <<<"${request[$role]}"
    capacity=$(calculate "(${cpu_request%m} - ${idle[$role]}) * 1000 / ${cost[$role]}")
    printf '%s %s %s request=%s,idle=%sm,full=%s request=%s,idle=%sKi,full=%sKi %sms\n' $role $unit "$capacity" "$cpu_request" "${idle[$role]}" "$cpu_request" \
      "$memory_request" "$(calculate "${rest[$role]} / 1024")" "$(calculate "${full[$role]} / 1024")" "${starts[$role]}"
  done
} >infra/k8s/measured.txt
cat infra/k8s/measured.txt
