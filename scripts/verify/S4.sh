#!/usr/bin/env bash
# S4: the server at 1 000 requests a second, on SQLite and on PostgreSQL with Redis, the verdict engine and the profiler on (CPU time sampled all the time), 75 s each
# (full: thirty minutes): p95 below 100 ms by our own load test with verdict Valid, every statement's p95 below 50 ms, and memory that does not leak: in
# full that is said; a minute is too short to say anything, and `unknown` then.
# Control: every answer 200 ms slower, in the same server.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

have curl || { echo "SKIP measured=none missing: curl"; exit 0; }
have python3 || { echo "SKIP measured=none missing: python3"; exit 0; }
if [ -z "${OFFGRIDFLOW_TESTKIT_POSTGRES:-}" ]; then
  have redis-server || { echo "SKIP measured=none missing: redis-server"; exit 0; }
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || have postgres || { echo "SKIP measured=none missing: postgresql"; exit 0; }
  cargo build --release --quiet -p offgridflow >&2
  cargo build --quiet -p testkit >&2
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  S4_BIN=$target/release/offgridflow exec "$target/debug/testkit" run -- scripts/verify/S4.sh
fi

seconds=75
[ "${VERIFY_SIZE:-quick}" = full ] && seconds=1800
admin=administrators-key-$$-0123456789
tenant=tenants-key-$$-0123456789abcdef
work=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; server=; }; }
trap 'stop; rm -rf "$work"' EXIT
export OFFGRIDFLOW_API_KEYS=default=$tenant OFFGRIDFLOW_ADMIN_KEYS=$admin OFFGRIDFLOW_RATE_LIMIT=100000 OFFGRIDFLOW_PROBE_SECS=1 OFFGRIDFLOW_LOG=warn
fail() { echo "FAIL measured=${measured:-none} $*"; exit 0; }

start() { # name, argument …
  : >"$work/$1"
  "$S4_BIN" all --listen 127.0.0.1:0 --faults --incidents "$work/incidents-$1" --leak-window-secs 60 "${@:2}" >"$work/$1" 2>"$work/$1.log" &
  server=$!
  for _ in $(seq 300); do
    base=$(sed -n 's/^listening on //p' "$work/$1")
    [ -z "$base" ] || return 0
    kill -0 $server 2>/dev/null || break
    sleep 0.1
  done
  cat "$work/$1.log" >&2
  fail "$1 did not start"
}

load() { # seconds, file: the load test's report, its exit status
  local status=0
  OFFGRIDFLOW_API_KEY=$tenant "$S4_BIN" load --api-url "$base" --rate 1000 --seconds "$1" >"$2" 2>>"$work/load.log" || status=$?
  cat "$2" >&2
  return $status
}
p95() { awk '$1 == "response" { print $4; exit }' "$1"; }

# The slowest p95 of statements that ran often enough to have one, in milliseconds, and memory's verdict.
inside() {
  curl --silent --fail --header "x-api-key: $admin" "$base/api/v1/overview" | python3 -c '
import json, sys
seen = json.load(sys.stdin)
often = [one for one in seen["statements"] if one["calls"] >= 59]
print(max(one["p95_ms"] for one in often), seen["memory"]["shape"], seen["memory"]["why"].replace(" ", "_"))'
}

measured=
for kind in sqlite postgres; do
  if [ $kind = sqlite ]; then start sqlite --database-url "sqlite:$work/s4.db"
  else start postgres --database-url "$OFFGRIDFLOW_TESTKIT_POSTGRES" --redis-url "redis://$OFFGRIDFLOW_TESTKIT_REDIS"; fi
  load 10 "$work/warm" || true
  load $seconds "$work/report" || fail "$kind: $(grep -E '^(verdict|broken)' "$work/report" | tr '\n' ' ')"
  grep -q '^verdict: Valid' "$work/report" || fail "$kind: $(grep '^verdict' "$work/report")"
  read -r database shape why < <(inside) || fail "$kind: the server does not say how it does"
  measured+="$kind:p95=$(p95 "$work/report"),statements=${database%.*}ms,memory=$shape;"
  awk -v p95="$database" 'BEGIN { exit !(p95 < 50) }' || fail "$kind: a statement's p95 is $database ms"
  case ${VERIFY_SIZE:-quick}:$shape in *:leak | full:unknown) fail "$kind: memory is judged $why" ;; esac
  if [ $kind = sqlite ]; then
    curl --silent --fail --request POST --header "x-api-key: $admin" "$base/debug/faults/slow" || fail "the control could not be planted"
    control=0
    load 10 "$work/slow" || control=$?
    [ $control -eq 1 ] || fail "200 ms more gave exit status $control"
    slowed=$(p95 "$work/slow")
  fi
  stop
done
echo "PASS measured=$measured control=200-ms-slower:p95=$slowed,exit-1 n=$((2 * seconds * 1000)) requests"
