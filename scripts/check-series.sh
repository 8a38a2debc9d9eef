#!/usr/bin/env bash
# Holds the series of each family at a live /metrics against infra/prometheus/budgets.txt: a label that takes too many values is found by the family that it is
# in, and so is a family without a budget. What is exported must also pass `promtool check metrics`.
# Usage: scripts/check-series.sh NAME=URL …
#   URL is http://HOST:PORT, or file:///FOLDER with a file `metrics` in it
# Exit status: 0 all is well, 1 a fault, 2 usage, 4 a tool is missing.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

BUDGETS=infra/prometheus/budgets.txt
[ $# -gt 0 ] || { printf 'usage: scripts/check-series.sh NAME=URL …\n' >&2; exit 2; }
have promtool || need_packages prometheus

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
: >"$scratch/faults"
fault() { printf '%s\n' "$*" | tee -a "$scratch/faults"; }

# FAMILY SERIES, of what stands in standard input: a histogram's buckets, sum and count are its own.
families() {
  awk '
    $1 == "#" && $2 == "TYPE" { kind[$3] = $4; next }
    /^#/ || !NF { next }
    { name = $1; sub(/\{.*/, "", name); family = name
      if (!(family in kind)) sub(/_(bucket|sum|count)$/, "", family)
      count[family]++ }
    END { for (family in count) print family, count[family] }' | sort
}

for target in "$@"; do
  name=${target%%=*}
  [[ $target =~ ^[a-z]+=(http|file): ]] || { printf 'usage: scripts/check-series.sh NAME=URL …\n' >&2; exit 2; }
  curl --silent --show-error --fail "${target#*=}/metrics" >"$scratch/shown" || { fault "$name: ${target#*=} does not answer"; continue; }
  if ! promtool check metrics <"$scratch/shown" >"$scratch/said" 2>&1; then
    cat "$scratch/said"
    fault "$name: promtool refuses its metrics"
  fi
  families <"$scratch/shown" >"$scratch/families"
  while read -r family series; do
    budget=$(awk -v family="$family" '$1 == family { print $2 }' $BUDGETS)
    if [ -z "$budget" ]; then
      fault "$name: $family: has no budget in $BUDGETS"
    elif [ "$series" -gt "$budget" ]; then
      fault "$name: $family: $series series, $budget are allowed"
    fi
  done <"$scratch/families"
  printf '%s: %d series in %d families\n' "$name" "$(awk '{ sum += $2 } END { print sum + 0 }' "$scratch/families")" "$(wc -l <"$scratch/families")"
done
[ ! -s "$scratch/faults" ] || { printf '%d faults\n' "$(wc -l <"$scratch/faults")" >&2; exit 1; }
