#!/usr/bin/env bash
# Checks the alerts with Prometheus' and Alertmanager's own tools (Debian packages, installed when missing and root; no service is
# started), and what those do not look at: that each alert has a severity, a summary, a page in the runbook, a test in which it
# fires and one in which it stays silent, and that each metric in a rule or a page is one that somebody exports.
# Usage: scripts/check-alerts.sh [--live SOURCE=URL …]
#   --live  looks for the names of infra/prometheus/metrics.txt at a live exporter: api=http://127.0.0.1:8080; or, scrape=URL, for those that
#           Prometheus makes itself, the labels that rules pick series by, and the queries of the runbook, at a live Prometheus
# Exit status: 0 all is well, 1 a fault, 2 usage, 4 a tool is missing.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

RULES=(infra/prometheus/rules/*.yml)
TESTS=(infra/prometheus/tests/*.yml)
NAMES=infra/prometheus/metrics.txt
RECORDED=infra/grafana/recorded/cluster.txt
ROUTES=infra/prometheus/tests/routes.txt
RUNBOOK=docs/runbook

live=()
while [ $# -gt 0 ]; do
  [[ $1 = --live && ${2:-} =~ ^[a-z]+=http ]] || { printf 'usage: scripts/check-alerts.sh [--live SOURCE=URL …]\n' >&2; exit 2; }
  live+=("$2")
  shift 2
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
faults=$scratch/faults
: >"$faults"
fault() { printf '%s\n' "$*" | tee -a "$faults"; }

tools() {
  local missing=()
  have promtool || missing+=(prometheus)
  have amtool || missing+=(prometheus-alertmanager)
  need_packages "${missing[@]}"
}

# Runs an engine's own check; what it says is shown when it finds a fault.
engine() { # what it checks, command …
  local what=$1
  shift
  "$@" >"$scratch/said" 2>&1 && return 0
  cat "$scratch/said"
  fault "$what: refused by \`${*:1:3}\`"
}

# The facts of scripts/rules.awk, one kind, without that word.
facts() { awk -F '\t' -v kind="$1" '$1 == kind { sub(/^[^\t]*\t/, ""); print }' "$scratch/facts"; }

# A link into the runbook leads to a page and, in it, to a heading.
anchor_exists() { # url
  local page=${1##*/} anchor=${1##*#}
  page=$RUNBOOK/${page%%#*}
  [ -f "$page" ] && [[ $1 == */"$page#"* ]] || return 1
  awk -v anchor="$anchor" '/^#/ { sub(/^#+ */, ""); $0 = tolower($0); gsub(/[^a-z0-9 -]/, ""); gsub(/ /, "-"); if ($0 == anchor) found = 1 }
    END { exit !found }' "$page"
}

alerts() {
  local file line name severity summary runbook
  while IFS=$'\t' read -r file line name severity summary runbook; do
    local at="$file:$line: $name"
    case $severity in page | ticket) ;; *) fault "$at: severity is \`$severity\`; page and ticket have routes" ;; esac
    [ "$summary" != - ] || fault "$at: no summary"
    anchor_exists "$runbook" || fault "$at: runbook_url leads to no heading in $RUNBOOK: $runbook"
    facts fires | cut -f 3 | grep -qx "$name" || fault "$at: no test in which it fires"
    facts silent | cut -f 3 | grep -qx "$name" || fault "$at: no test in which it stays silent"
  done < <(facts alert)
}

# Names that tests, routes and pages speak of are those of alerts.
names_of_alerts() {
  facts alert | cut -f 3 | sort >"$scratch/alerts"
  uniq -d "$scratch/alerts" | while read -r name; do fault "${RULES[0]%/*}: $name: two alerts have this name"; done
  local file line name page
  { facts fires; facts silent; } | while IFS=$'\t' read -r file line name; do
    grep -qx "$name" "$scratch/alerts" || fault "$file:$line: $name: a test of an alert that there is not"
  done
  awk -F '"' '/alertname =~? "/ { n = split($2, each, "|"); for (i = 1; i <= n; i++) print FNR, each[i] }' infra/alertmanager.yml |
    while read -r line name; do
      grep -qx "$name" "$scratch/alerts" || fault "infra/alertmanager.yml:$line: $name: no alert has this name"
    done
  for page in "$RUNBOOK"/*.md; do
    [ "${page##*/}" = README.md ] || facts alert | cut -f 6 | grep -q "/${page##*/}#" || fault "$page: no alert leads here"
  done
}

exported() { awk '!/^#/ && NF { print $1 }' "$NAMES"; }

metrics() {
  local file line rule name
  { exported; facts record | cut -f 3; } | sort -u >"$scratch/known"
  while IFS=$'\t' read -r file line rule name; do
    grep -qx "$name" "$scratch/known" || fault "$file:$line: $rule: nobody exports \`$name\`: it is not in $NAMES, and no rule records it"
  done < <(facts metric)
  # What appears with an event is not at hand to be looked at; its name stands in the source.
  awk '$3 == "event" { print FNR, $1 }' "$NAMES" | while read -r line name; do
    grep -rqE --include='*.rs' "\"${name%_count}\"" offgridflow-*/src examples/src || fault "$NAMES:$line: $name: not in the source code"
  done
  awk '$3 == "recorded" { print FNR, $1 }' "$NAMES" | while read -r line name; do
    grep -q "^$name{" $RECORDED || fault "$NAMES:$line: $name: not in $RECORDED"
  done
}

routes() {
  local receiver labels line=0
  while read -r receiver labels; do
    line=$((line + 1))
    [[ -z $receiver || $receiver == \#* ]] && continue
    read -ra labels <<<"$labels"
    engine "$ROUTES:$line: ${labels[*]} must reach $receiver" \
      amtool config routes test --config.file=infra/alertmanager.yml --verify.receivers="$receiver" "${labels[@]}"
  done <"$ROUTES"
}

# Whether the labels that rules pick series by are there; those of events may not be yet.
labels() { # url of a Prometheus
  local file line rule name label answer
  while IFS=$'\t' read -r file line rule name label; do
    grep -qE "^$name [a-z]+ always" "$NAMES" || continue
    answer=$(curl --silent --fail --get --data-urlencode "query=count($name{$label!=\"\"})" "$1/api/v1/query") || answer=''
    [[ $answer == *'"value"'* ]] || fault "$file:$line: $rule: \`$name\` has no label \`$label\` at $1"
  done < <(facts label | sort -u -t $'\t' -k 4,5)
}

# Whether Prometheus can answer what the runbook asks.
queries() { # url of a Prometheus
  local file line query
  while IFS=$'\t' read -r file line query; do
    curl --silent --fail --output "$scratch/answer" --get --data-urlencode "query=$query" "$1/api/v1/query" ||
      fault "$file:$line: Prometheus refuses \`$query\`"
  done < <(facts query)
}

# Whether an exporter shows what the list says; `scrape` is what a Prometheus makes of each scrape.
look() { # source, url
  local line name
  if [ "$1" = scrape ]; then
    labels "$2"
    queries "$2"
    curl --silent --show-error --fail "$2/api/v1/label/__name__/values" | tr ',[]' '\n' | tr -d '"' >"$scratch/shown"
  else
    # Twice: the first look is the first request that some roles count.
    for _ in 1 2; do curl --silent --show-error --fail "$2/metrics" >"$scratch/shown"; done
  fi || { fault "$1: $2 does not answer"; return; }
  # What the exporters of others export is theirs to mend.
  case $1 in api | worker | web | loadtest) engine "$1: $2/metrics" promtool check metrics <"$scratch/shown" ;; esac
  grep -qE "^[^#]+ $1 always" "$NAMES" || { fault "$1: no name in $NAMES is of this source"; return; }
  awk -v source="$1" '$2 == source && $3 == "always" { print FNR, $1 }' "$NAMES" | while read -r line name; do
    grep -qE "^$name([{ ]|\$)" "$scratch/shown" || fault "$NAMES:$line: $name: $2 does not export it"
  done
}

tools
awk -f scripts/rules.awk "${RULES[@]}" "${TESTS[@]}" "$RUNBOOK"/*.md >"$scratch/facts"
step "configuration and rules"
engine infra/prometheus.yml promtool check config infra/prometheus.yml
engine infra/prometheus/rules promtool check rules "${RULES[@]}"
engine infra/alertmanager.yml amtool check-config infra/alertmanager.yml
step "each alert: severity, summary, runbook, tests, metrics"
alerts
names_of_alerts
metrics
step "routes"
routes
step "tests: each alert fires when it should, and is silent when it should"
engine infra/prometheus/tests promtool test rules "${TESTS[@]}"
for exporter in "${live[@]}"; do
  step "live: $exporter"
  look "${exporter%%=*}" "${exporter#*=}"
done

if [ -s "$faults" ]; then
  printf '%d faults\n' "$(wc -l <"$faults")" >&2
  exit 1
fi
printf '%d alerts, %d of their tests fire, %d are silent; %d live exporters\n' \
  "$(facts alert | wc -l)" "$(facts fires | wc -l)" "$(facts silent | wc -l)" ${#live[@]}
