#!/usr/bin/env bash
# Runs pgbench and redis-benchmark beside the load tester: the same mix, against the same server, in turn, in rounds of changing order. Prints the median of each tool and of the ratio
# ours / theirs over the rounds: throughput where nobody rests, response times at a rate (pgbench -R; redis-benchmark has none), and CPU time of the tool an operation.
# Why they differ is in docs/loadtest/coming-from-pgbench.md.
# Usage: scripts/load-beside.sh [ROUNDS [SECONDS]]   (default: 5 rounds of 5 s each)
#   OFFGRIDFLOW_LOADTEST names the command, if it is not to be built here.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

rounds=${1:-5} seconds=${2:-5} workers=8 rate=1000
have psql || die 'missing: psql'
for tool in pgbench redis-benchmark; do have $tool || die "missing: $tool"; done

if [ -z "${OFFGRIDFLOW_BESIDE_SERVERS:-}" ]; then
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  [ -n "${OFFGRIDFLOW_LOADTEST:-}" ] || cargo build --release --quiet -p offgridflow-loadtest --features sql,redis
  cargo build --quiet -p testkit
  export OFFGRIDFLOW_LOADTEST=${OFFGRIDFLOW_LOADTEST:-$target/release/offgridflow-loadtest} OFFGRIDFLOW_BESIDE_SERVERS=testkit
  exec "$target/debug/testkit" run -- "$PWD/scripts/load-beside.sh" "$@"
fi

work=$(mktemp -d)
database=beside_$$
postgres=${OFFGRIDFLOW_TESTKIT_POSTGRES%/*}/$database
psql --quiet --no-psqlrc "$OFFGRIDFLOW_TESTKIT_POSTGRES" -c "CREATE DATABASE $database"
trap 'psql --quiet --no-psqlrc "$OFFGRIDFLOW_TESTKIT_POSTGRES" -c "DROP DATABASE $database WITH (FORCE)"; rm -rf "$work"' EXIT
pgbench --initialize --quiet --scale 1 "$postgres" 2>"$work/log" || die "$(cat "$work/log")"
IFS=: read -r redis_host redis_port <<<"$OFFGRIDFLOW_TESTKIT_REDIS"

cat >"$work/read.sql" <<'SQL'
\set aid random(1, 100000)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
SQL
cat >"$work/write.sql" <<'SQL'
\set aid random(1, 100000)
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;
SQL
sql=$(cat <<TOML
[target]
url = "$postgres"
pool = $workers
[[statement]]
name = "read"
sql = "SELECT abalance FROM pgbench_accounts WHERE aid = \$1"
weight = 9
values = [{ int = "\${random(1, 100000)}" }]
[[statement]]
name = "write"
sql = "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = \$1"
values = [{ int = "\${random(1, 100000)}" }]
TOML
)
saturated="[load]
concurrent_workers = $workers
duration = \"${seconds}s\"
saturate = true
shards = 1"
steady="[load]
concurrent_workers = $workers
requests_per_second = $rate
duration = \"${seconds}s\"
arrivals = \"poisson\"
on_cap = \"queue\"
shards = 1"
printf '%s\n%s\n' "$sql" "$saturated" >"$work/sql-saturated.toml"
printf '%s\n%s\n' "$sql" "$steady" >"$work/sql-steady.toml"
for command in GET SET; do
  if [ $command = SET ]; then value='value_bytes = 100'; else value=''; fi
  printf '[target]\nurl = "redis://%s"\nkeys = 100000\n[[command]]\nname = "%s"\n%s\n%s\n' "$OFFGRIDFLOW_TESTKIT_REDIS" "$command" "$value" "$saturated" >"$work/redis-$command.toml"
done

# note WHAT TOOL VALUE: keeps a figure of this round.
note() { printf '%s %s %s %s\n' "$round" "$1" "$2" "$3" >>"$work/figures"; }

# timed COMMAND…: runs it, its CPU seconds in `cpu`, what it says in $work/out.
timed() {
  local TIMEFORMAT='%U %S'
  { time "$@" >"$work/out" 2>"$work/err"; } 2>"$work/cpu" || [ $? -eq 3 ] || die "$*: $(tail -n 3 "$work/err")"
  cpu=$(awk '{ print $1 + $2 }' "$work/cpu")
}

per() { awk -v a="$1" -v b="$2" -v scale="$3" 'BEGIN { printf "%.3f", (b > 0 ? a / b * scale : 0) }'; }

# ours WHAT FILE: throughput, or response times, and CPU time.
ours() {
  timed "$OFFGRIDFLOW_LOADTEST" run "$work/$2" --quiet --json "$work/report.json"
  read -r ok throughput p50 p95 lag < <(python3 - "$work/report.json" <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))
total = report["total"]
micros = lambda times, at: times[at].get("value", 0) / 1e3
print(total["ok"], total["rate_per_sec"], micros(total["response"], "p50"), micros(total["response"], "p95"), micros(report["dispatch_lag"], "p50"))
PY
  )
  note "$1:cpu_us" ours "$(per "$cpu" "$ok" 1e6)"
  case $1 in *-steady) note "$1:p50_us" ours "$p50"; note "$1:p95_us" ours "$p95"; note "$1:lag_us" ours "$lag" ;; *) note "$1:per_s" ours "$throughput" ;; esac
}

# quantile COLUMN PERCENT: of pgbench's log.
quantile() {
  cat "$work"/log.* | awk -v column="$1" '{ print $column }' | sort -n | awk -v percent="$2" '{ at[NR] = $1 } END { print at[int(NR * percent / 100) + 1] }'
}

# pgbench_of WHAT FLAG…
pgbench_of() {
  rm -f "$work"/log.*
  timed pgbench --no-vacuum --protocol prepared --client $workers --jobs 1 --time "$seconds" --log --log-prefix "$work/log" \
    --file "$work/read.sql@9" --file "$work/write.sql@1" "${@:2}" "$postgres"
  local count
  count=$(cat "$work"/log.* | wc -l)
  note "$1:cpu_us" theirs "$(per "$cpu" "$count" 1e6)"
  case $1 in
    *-steady)
      note "$1:p50_us" theirs "$(quantile 3 50)"
      note "$1:p95_us" theirs "$(quantile 3 95)"
      note "$1:lag_us" theirs "$(quantile 7 50)" ;;
    *) note "$1:per_s" theirs "$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$work/out")" ;;
  esac
}

# redis_benchmark_of WHAT COMMAND: as many requests as take about the same time.
redis_benchmark_of() {
  local count=${asked[$2]:-200000}
  timed redis-benchmark -h "$redis_host" -p "$redis_port" -c $workers -n "$count" -r 100000 -d 100 -t "${2,,}" --csv
  local rps
  rps=$(awk -F'","' 'END { print $2 }' "$work/out")
  asked[$2]=$(awk -v rps="$rps" -v seconds="$seconds" 'BEGIN { printf "%d", rps * seconds }')
  note "$1:cpu_us" theirs "$(per "$cpu" "$count" 1e6)"
  note "$1:per_s" theirs "$rps"
}

declare -A asked
for ((round = 1; round <= rounds; round++)); do
  step "round $round of $rounds"
  if [ $((round % 2)) -eq 1 ]; then order=(ours theirs); else order=(theirs ours); fi
  for tool in "${order[@]}"; do
    case $tool in
      ours)
        ours sql-saturated sql-saturated.toml
        ours sql-steady sql-steady.toml
        ours redis-set redis-SET.toml
        ours redis-get redis-GET.toml ;;
      theirs)
        pgbench_of sql-saturated
        pgbench_of sql-steady --rate $rate
        redis_benchmark_of redis-set SET
        redis_benchmark_of redis-get GET ;;
    esac
  done
done

python3 - "$work/figures" <<'PY'
import collections, statistics, sys
rounds = collections.defaultdict(dict)
for line in open(sys.argv[1]):
    at, what, tool, value = line.split()
    rounds[what].setdefault(at, {})[tool] = float(value)
print(f"{'':24}{'ours':>12}{'theirs':>12}{'ratio':>8}  from – to")
for what, by in rounds.items():
    both = [(r["ours"], r["theirs"]) for r in by.values() if len(r) == 2 and r["theirs"] > 0]
    ratios = sorted(a / b for a, b in both)
    ours, theirs = (statistics.median(r[i] for r in both) for i in (0, 1))
    print(f"{what:24}{ours:12.1f}{theirs:12.1f}{statistics.median(ratios):8.2f}  {ratios[0]:.2f} – {ratios[-1]:.2f}")
PY
