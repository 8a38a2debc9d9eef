#!/usr/bin/env bash
# Lints the structure of the OpenTelemetry collector's configuration: every component that is defined is used, every one that is used is defined, none is of a kind that
# was removed, the health check is there and listed, memory_limiter comes first and batch last, and the ports are those that Prometheus scrapes.
# No collector runs it: what a component's own settings mean is not looked at. Without FILE it also plants faults in copies of ours, each of which it must
# find.
# Usage: scripts/check-collector.sh [FILE]
# Exit status: 0 all is well, 1 a fault.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

file=${1:-infra/otel-collector-config.yaml}
[ -r "$file" ] || { printf '%s: cannot be read\n' "$file"; exit 1; }

# Reads YAML as it is written here: a key a line, lists of components between brackets.
awk -v file="$file" '
  function fault(line, what) { printf "%s:%d: %s\n", file, line, what; faults++ }
  function kind_of(name) { sub(/\/.*/, "", name); return name }
  BEGIN {
    split("receivers processors exporters connectors extensions", sections)
    removed["exporters logging"] = "0.111; use debug"
    removed["exporters jaeger"] = "0.86; use otlp"
    removed["exporters jaeger_thrift"] = "0.86; use otlp"
    removed["extensions memory_ballast"] = "0.108; use GOMEMLIMIT"
    removed["processors spanmetrics"] = "0.100; use the connector"
  }
  /^ *#/ || /^ *$/ { next }
  { match($0, /[^ ]/); depth = RSTART - 1; key = $1; sub(/:$/, "", key) }
  depth == 0 { section = key; pipeline = "" }
  section != "service" && depth == 2 && /:/ {
    if ((section, key) in defined) fault(FNR, section ": " key " is defined twice")
    defined[section, key] = FNR
    if ((section " " kind_of(key)) in removed) fault(FNR, section ": " key " was removed in " removed[section " " kind_of(key)])
  }
  section == "service" && depth == 2 { part = key }
  section == "service" && part == "pipelines" && depth == 4 { pipeline = key; pipelines[key] = FNR }
  section == "service" && match($0, /\[.*\]/) {
    list = substr($0, RSTART + 1, RLENGTH - 2)
    n = split(list, names, / *, */)
    if (part == "extensions" && depth == 2) for (i = 1; i <= n; i++) used["extensions", names[i]] = FNR
    if (part == "pipelines" && depth == 6) {
      has[pipeline, key] = n
      for (i = 1; i <= n; i++) used[key, names[i]] = FNR
      if (key == "processors" && names[1] != "memory_limiter") fault(FNR, "pipeline " pipeline ": memory_limiter is not the first processor")
      if (key == "processors" && kind_of(names[n]) != "batch") fault(FNR, "pipeline " pipeline ": batch is not the last processor")
    }
  }
  END {
    for (id in used) {
      split(id, of, SUBSEP)
      known = (of[1], of[2]) in defined || ((of[1] == "receivers" || of[1] == "exporters") && ("connectors", of[2]) in defined)
      if (!known) fault(used[id], of[1] ": " of[2] " is used and not defined")
    }
    for (id in defined) {
      split(id, of, SUBSEP)
      known = (of[1], of[2]) in used || (of[1] == "connectors" && ("receivers", of[2]) in used && ("exporters", of[2]) in used)
      if (!known) fault(defined[id], of[1] ": " of[2] " is defined and not used")
    }
    for (name in pipelines) {
      if (!has[name, "receivers"]) fault(pipelines[name], "pipeline " name ": no receiver")
      if (!has[name, "exporters"]) fault(pipelines[name], "pipeline " name ": no exporter")
    }
    if (!(("extensions", "health_check") in used)) fault(0, "service: health_check is not among the extensions: the probes of Kubernetes find nobody")
    exit faults > 0
  }' "$file" && status=0 || status=1

# The ports that Prometheus scrapes are those that are opened here.
while read -r port; do
  grep -qE "(port: |:)$port\$" "$file" || { printf '%s:0: nothing listens at %s, which infra/prometheus.yml scrapes\n' "$file" "$port"; status=1; }
done < <(grep -oE 'otel-collector:[0-9]+' infra/prometheus.yml | cut -d : -f 2)
[ "$status" -eq 0 ] || exit 1
[ $# -eq 0 ] || exit 0

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
planted=0
plant() { # what must be said, sed expression
  sed -E "$2" "$file" >"$scratch/planted.yaml"
  cmp -s "$file" "$scratch/planted.yaml" && { printf '%s: nothing was planted: %s\n' "$file" "$2"; exit 1; }
  if scripts/check-collector.sh "$scratch/planted.yaml" >"$scratch/said" || ! grep -q "$1" "$scratch/said"; then
    printf 'not found: %s, planted by %s\n' "$1" "$2"
    exit 1
  fi
  planted=$((planted + 1))
}
plant 'logging was removed' 's/^  debug:/  logging:/; s/, debug]/, logging]/'
plant 'debug is defined and not used' 's/, debug]/]/'
plant 'zipkin is used and not defined' 's/receivers: \[otlp\]/receivers: [otlp, zipkin]/'
plant 'health_check is not among' 's/extensions: \[health_check\]/extensions: []/'
plant 'batch is not the last' 's/\[memory_limiter, batch\]/[memory_limiter, batch, filter\/health]/'
plant 'memory_limiter is not the first' 's/\[memory_limiter, batch\]/[batch]/'
plant 'nothing listens at 8889' 's/8889/8899/'
plant 'pipeline metrics: no exporter' '/^      exporters: \[prometheus\]/d'
printf '%s: every component is defined and used, %d planted faults are found; no collector ran it\n' "$file" "$planted"
