#!/usr/bin/env bash
# Runs the four presets of the load tester against the example server: the endpoints and the worker on SQLite, and once more on PostgreSQL with Redis beside, whose connections and cache the other two load. Each has
# to end with exit code 0; one that this machine was too busy for (3) is repeated, three times at most. The reports (JSON, pages) go to target/presets.
# With --record, what was measured is kept in bench-records.jsonl and docs/PERFORMANCE_BENCHMARKS.md is made anew.
# Usage: scripts/load-presets.sh [--record]
#   OFFGRIDFLOW, OFFGRIDFLOW_LOADTEST and OFFGRIDFLOW_BENCH name the commands, if they are not to be built here.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

record=''
case ${1:-} in '') ;; --record) record=yes ;; *) die "unknown argument: $1" ;; esac
commit=$(git rev-parse HEAD)
[ -z "$record" ] || git diff --quiet HEAD || die 'tracked files are changed: no commit has what would be measured'

if [ -z "${OFFGRIDFLOW_PRESETS_SERVERS:-}" ]; then
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  [ -n "${OFFGRIDFLOW:-}" ] || cargo build --release --quiet -p offgridflow
  [ -n "${OFFGRIDFLOW_LOADTEST:-}" ] || cargo build --release --quiet -p offgridflow-loadtest --features sql,redis
  [ -z "$record" ] || [ -n "${OFFGRIDFLOW_BENCH:-}" ] || cargo build --release --quiet -p offgridflow-bench
  cargo build --quiet -p testkit
  export OFFGRIDFLOW=${OFFGRIDFLOW:-$target/release/offgridflow}
  export OFFGRIDFLOW_LOADTEST=${OFFGRIDFLOW_LOADTEST:-$target/release/offgridflow-loadtest}
  export OFFGRIDFLOW_BENCH=${OFFGRIDFLOW_BENCH:-$target/release/offgridflow-bench}
  export OFFGRIDFLOW_PRESETS_SERVERS=testkit
  exec "$target/debug/testkit" run -- "$PWD/scripts/load-presets.sh" "$@"
fi

work=$(mktemp -d)
servers=()
stop() { for server in "${servers[@]}"; do kill "$server" 2>/dev/null || true; done; servers=(); wait; }
trap 'stop; rm -rf "$work"' EXIT
out=target/presets
rm -rf "$out"
mkdir -p "$out"

# serve ROLE FLAG…: starts a role at a free port, and leaves its address in `base`.
serve() {
  "$OFFGRIDFLOW" "$1" --listen 127.0.0.1:0 "${@:2}" >"$work/said" 2>"$work/log" &
  servers+=($!)
  for ((try = 0; try < 300; try++)); do
    base=$(sed -n 's/^listening on //p' "$work/said")
    [ -z "$base" ] || return 0
    sleep 0.1
  done
  die "the server did not start: $(tail -n 3 "$work/log")"
}

# preset NAME FOLDER FLAG…: runs it until this machine is quiet enough, and shows the verdict.
preset() {
  local code
  for ((try = 1; try <= 3; try++)); do
    code=0
    scripts/load-test.sh "$1" --out "$out/$2" "${@:3}" >"$work/report" 2>"$work/progress" || code=$?
    [ "$code" -eq 3 ] || break
  done
  grep -E '^(verdict|pool|note: hit ratio)' "$work/report" | sed "s|^|$1 on $2: |" || true
  [ "$code" -eq 0 ] || { cat "$work/report" >&2; tail -n 3 "$work/progress" >&2; die "$1 on $2: exit code $code"; }
}

endpoints_and_worker() {
  preset api-endpoints "$1" --base "$base" --rate 200 --for 20s
  preset worker-throughput "$1" --base "$base" --rate 15 --for 30s
}

serve all --database-url "sqlite:$work/data.db"
endpoints_and_worker sqlite
stop

database=presets_$$
psql --quiet --no-psqlrc "$OFFGRIDFLOW_TESTKIT_POSTGRES" -c "CREATE DATABASE $database"
export DATABASE_URL=${OFFGRIDFLOW_TESTKIT_POSTGRES%/*}/$database REDIS_URL=redis://$OFFGRIDFLOW_TESTKIT_REDIS
serve worker --database-url "$DATABASE_URL" --redis-url "$REDIS_URL"
serve api --database-url "$DATABASE_URL" --redis-url "$REDIS_URL"
endpoints_and_worker postgresql
preset db-connections postgresql --each 1s
preset redis-cache postgresql --rate 2000 --for 10s
stop

[ -n "$record" ] || exit 0
record() { "$OFFGRIDFLOW_BENCH" record "$out/$1" --commit "$commit" --as "$2" "${@:3}"; }
for on in sqlite postgresql; do
  name=$([ "$on" = sqlite ] && echo 'on SQLite' || echo 'on PostgreSQL and Redis')
  record "$on/api-endpoints.json" "preset api-endpoints $name"
  for percentile in p50 p95; do
    record "$on/worker-throughput.json" "preset worker-throughput $name" --value "enqueued to complete $percentile=/steps/3/service/$percentile/value" \
      --n /steps/3/service/count --times 1e-6 --unit ms
  done
done
record postgresql/redis-cache.json 'preset redis-cache'
record postgresql/db-connections.json 'preset db-connections' --value 'pool size=/advice/pool' --n /advice/allowed --unit connections
"$OFFGRIDFLOW_BENCH" docs
