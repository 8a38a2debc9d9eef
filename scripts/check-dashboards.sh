#!/usr/bin/env bash
# Checks Grafana's boards: each is as the code in infra/boards makes it, breaks none of the dashboard-linter's eleven rules, and asks what promtool can read;
# panels that need a cluster find something in recorded series; the provisioning files lead to what is there.
# Usage: scripts/check-dashboards.sh [--live URL]
#   --live  asks the Prometheus at URL every other query, each of which must find a number within two minutes
# Exit status: 0 all is well, 1 a fault, 2 usage, 4 a tool is missing.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

live=''
if [ $# -gt 0 ]; then
  [[ $# -eq 2 && $1 = --live && $2 =~ ^http ]] || { printf 'usage: scripts/check-dashboards.sh [--live URL]\n' >&2; exit 2; }
  live=$2
fi

GRAFANA=infra/grafana
PATIENCE=${BOARDS_PATIENCE:-120} # seconds for a live query to find a number
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
: >"$scratch/faults"
fault() { printf '%s\n' "$*" | tee -a "$scratch/faults"; }

have promtool || need_packages prometheus
if [ -z "${BOARDS_BIN:-}" ]; then
  cargo build --quiet -p boards
  BOARDS_BIN=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/boards
fi

step "boards: as the code makes them, eleven rules"
{ "$BOARDS_BIN" check || true; } | tee -a "$scratch/faults"

step "queries: promtool reads them; those of a cluster find something in recorded series"
"$BOARDS_BIN" rules >"$scratch/rules.yml"
promtool check rules "$scratch/rules.yml" >"$scratch/said" 2>&1 || { cat "$scratch/said"; fault "$GRAFANA/dashboards: promtool refuses a query"; }
"$BOARDS_BIN" tests $GRAFANA/recorded/cluster.txt >"$scratch/tests.yml"
if ! promtool test rules "$scratch/tests.yml" >"$scratch/said" 2>&1; then
  sed -n 's/^ *expr: "\(.*\)", time: .*/\1/p' "$scratch/said" | sed 's/\\"/"/g' >"$scratch/empty"
  "$BOARDS_BIN" queries 5m 30m >"$scratch/asked"
  while IFS=$'\t' read -r file panel; do fault "$file: panel \`$panel\` finds nothing in $GRAFANA/recorded/cluster.txt"; done < <(
    awk -F '\t' 'NR == FNR { empty[$0]; next } $4 in empty { print $1 "\t" $2 }' "$scratch/empty" "$scratch/asked"
  )
  [ -s "$scratch/empty" ] || { cat "$scratch/said"; fault "$GRAFANA/recorded/cluster.txt: promtool refuses the tests made of it"; }
fi

step "provisioning"
scraped=$(awk '$1 == "scrape_interval:" { print $2; exit }' infra/prometheus.yml)
grep -q "^ *timeInterval: $scraped\$" $GRAFANA/provisioning/datasources/*.yml ||
  fault "$GRAFANA/provisioning/datasources: timeInterval is not $scraped, as Prometheus scrapes: rates would be empty"
[ "$(grep -c '^ *- name:' $GRAFANA/provisioning/dashboards/offgridflow.yml)" -eq 1 ] || fault "$GRAFANA/provisioning/dashboards: not one provider"

# Asks each query until it finds a number; who never does is a fault.
ask_all() {
  local file panel place found query until=$((SECONDS + PATIENCE))
  "$BOARDS_BIN" queries 30s 5m | awk -F '\t' '$3 == "live"' >"$scratch/left"
  total=$(wc -l <"$scratch/left")
  while [ -s "$scratch/left" ] && [ $SECONDS -lt $until ]; do
    while IFS=$'\t' read -r file panel place found query; do
      curl --silent --get --data-urlencode "query=$found" "$live/api/v1/query" >"$scratch/answer" || true
      grep -q '"value":\[[0-9.]*,"1"\]' "$scratch/answer" || printf '%s\t%s\t%s\t%s\t%s\n' "$file" "$panel" "$place" "$found" "$query"
    done <"$scratch/left" >"$scratch/next"
    mv "$scratch/next" "$scratch/left"
    [ ! -s "$scratch/left" ] || sleep 2
  done
  while IFS=$'\t' read -r file panel place found query; do fault "$file: panel \`$panel\` is empty: $query"; done <"$scratch/left"
}

total=0
if [ -n "$live" ]; then
  step "live: every query finds a number at $live"
  curl --silent --fail --output /dev/null "$live/-/ready" || fault "$live: no Prometheus answers there"
  [ -s "$scratch/faults" ] || ask_all
fi

if [ -s "$scratch/faults" ]; then
  printf '%d faults\n' "$(wc -l <"$scratch/faults")" >&2
  exit 1
fi
queries=$("$BOARDS_BIN" queries 30s 5m | wc -l)
printf '5 boards, %d queries, %d of them on recorded series, %d live\n' "$queries" "$("$BOARDS_BIN" queries 30s 5m | grep -c "$(printf '\tcluster\t')")" "$total"
