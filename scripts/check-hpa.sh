#!/usr/bin/env bash
# Checks the autoscalers of infra/k8s before any cluster has them:
#   schema       every manifest, of the base and as the overlays make it, against Kubernetes' own (kubernetes-validate, installed by pip into target/)
#   semantics    what no schema says, by `offgridflow-loadtest autoscale`: bounds, periods, misspelt fields, replicas beside an autoscaler, missing requests
#   broken       autoscalers broken on purpose: each must be refused, for what was broken
#   golden       the simulator decides as Kubernetes' own tests say
#   memory pin   idle memory that would keep all replicas must be found
#   predictions  each autoscaler under a load of one replica's worth to six replicas' (worker: four), with replicas as measured (infra/k8s/measured.txt); they must be those
#                of docs/PERFORMANCE_BENCHMARKS.md
# Usage: scripts/check-hpa.sh [--record]
#   --record  keeps the predictions in bench-records.jsonl and makes docs/PERFORMANCE_BENCHMARKS.md anew, instead of comparing
# Exit status: 0 all is well, 1 a fault, 2 usage, 4 a tool is missing. Without pip the schema is not looked at, which is said.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

record=no
case ${1:-} in '') ;; --record) record=yes ;; *) printf 'usage: scripts/check-hpa.sh [--record]\n' >&2; exit 2 ;; esac
BASE=infra/k8s
HPA=$BASE/hpa.yaml
MEASURED=$BASE/measured.txt
VALIDATE=1.37.0
VERSIONS=(1.33 1.35 1.37)
# Milliseconds until a pod has a node, its image and its first probe, before what was measured: assumed, since no cluster was at hand.
PLACING=10000
# Of what one replica does: a quiet time, a rise within a minute, half an hour of that, and the way back.
load_of() { case $1 in worker) most=4 ;; *) most=6 ;; esac; printf '0s=1,10m=1,11m=%d,41m=%d,42m=1,90m=1\n' $most $most; } # role

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
: >"$scratch/faults"
fault() { printf '%s\n' "$*" | tee -a "$scratch/faults"; }

if [ -z "${CHECK_HPA_BIN:-}" ]; then
  cargo build --quiet --workspace --features "$ALL_FEATURES" --bin offgridflow-loadtest --bin offgridflow-bench
  CHECK_HPA_BIN=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug
fi
simulate() { "$CHECK_HPA_BIN/offgridflow-loadtest" autoscale "$@"; }

schema=no
tools() {
  local folder=${CHECK_HPA_TOOLS:-$PWD/target/tools/kubernetes-validate-$VALIDATE}
  if [ ! -d "$folder" ]; then
    python3 -m pip --version >/dev/null 2>&1 || return 0
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$folder" "kubernetes-validate==$VALIDATE" >&2 || { rm -rf "$folder"; return 0; }
  fi
  export PYTHONPATH=$folder
  schema=yes
}
valid() { # version, file …
  python3 -m kubernetes_validate --strict --quiet --kubernetes-version "$1" "${@:2}" >"$scratch/said" 2>&1
}

schemas() {
  local files=() file version overlay
  for file in "$BASE"/*.yaml; do [ "${file##*/}" = kustomization.yaml ] || files+=("$file"); done
  if have kubectl; then
    for overlay in staging production; do
      if kubectl kustomize infra/overlays/$overlay >"$scratch/$overlay.yaml" 2>"$scratch/said"; then files+=("$scratch/$overlay.yaml"); else
        cat "$scratch/said"
        fault "infra/overlays/$overlay: kustomize cannot make it"
      fi
    done
  else
    printf 'SKIP: there is no kubectl, so the overlays were not made\n'
  fi
  for version in "${VERSIONS[@]}"; do
    ! valid "$version" "${files[@]}" || continue
    for file in "${files[@]}"; do
      valid "$version" "$file" || { cat "$scratch/said"; fault "$file: not as the schema of Kubernetes $version says"; }
    done
  done
  printf '%d files, Kubernetes %s\n' ${#files[@]} "${VERSIONS[*]}"
}

semantics() { simulate --hpa $HPA --hpa $BASE/api.yaml --hpa $BASE/web.yaml --hpa $BASE/worker.yaml; }

broken=0 past=0
broken() { # what must be said, sed expression on hpa.yaml [, on api.yaml]
  local status=0
  sed -E "$2" $HPA >"$scratch/hpa.yaml"
  sed -E "${3:-}" $BASE/api.yaml >"$scratch/api.yaml"
  cat "$scratch/hpa.yaml" "$scratch/api.yaml" | cmp -s - <(cat $HPA $BASE/api.yaml) && { fault "nothing was broken: $2 ${3:-}"; return; }
  simulate --hpa "$scratch/hpa.yaml" --hpa "$scratch/api.yaml" --hpa $BASE/web.yaml --hpa $BASE/worker.yaml >"$scratch/found" 2>&1 || status=$?
  if [ $status -ne 1 ] || ! grep -qF "wrong   api: $1" "$scratch/found"; then
    cat "$scratch/found"
    fault "$HPA: not refused with \`$1\` when broken by: $2 ${3:-}"
  fi
  broken=$((broken + 1))
  if [ $schema = yes ] && [ "${CHECK_HPA_QUICK:-}" != yes ] && valid "${VERSIONS[-1]}" "$scratch/hpa.yaml" "$scratch/api.yaml"; then past=$((past + 1)); fi
}
broken_all() {
  broken 'spec.minReplicas: 12 is more than maxReplicas, 10' '0,/minReplicas: 2/s//minReplicas: 12/'
  broken 'spec.minReplicas: 0 needs the feature' '0,/minReplicas: 2/s//minReplicas: 0/'
  broken 'spec.maxReplicas: missing' '0,/maxReplicas: 10/{/maxReplicas/d}'
  broken 'spec.metrics[0].resource.target.averageUtilization: 0;' '0,/averageUtilization: 70/s//averageUtilization: 0/'
  broken 'spec.metrics[0].resource.target.type:' '0,/type: Utilization/s//type: Utilisation/'
  broken 'spec.metrics[0].resource.name:' '0,/name: cpu/s//name: gpu/'
  broken 'spec.metrics[1]: a second target' '0,/name: memory/s//name: cpu/'
  broken 'spec.behavior.scaleDown.stabilizationWindowSeconds: 3601;' '0,/stabilizationWindowSeconds: 300/s//stabilizationWindowSeconds: 3601/'
  broken 'spec.behavior.scaleUp.policies[0].periodSeconds: 0;' '0,/periodSeconds: 30/s//periodSeconds: 0/'
  broken 'spec.behavior.scaleUp.policies[0].periodSeconds: 1801;' '0,/periodSeconds: 30/s//periodSeconds: 1801/'
  broken 'spec.behavior.scaleUp.policies[0].type:' '0,/type: Percent/s//type: Pct/'
  broken 'spec.behavior.scaleUp.policies[0].value: -100;' '0,/value: 100/s//value: -100/'
  broken 'spec.behavior.scaleUp.selectPolicy: "Most"' '0,/selectPolicy: Max/s//selectPolicy: Most/'
  broken 'spec.behavior.scaleUp.stabilisationWindowSeconds: no such field' '0,/stabilizationWindowSeconds: 0/s//stabilisationWindowSeconds: 0/'
  broken 'spec.scaleTargetRef.name: there is no Deployment "app"' '0,/    name: api/s//    name: app/'
  broken 'apiVersion: "autoscaling/v2beta2"' '0,/apiVersion: autoscaling\/v2/s//apiVersion: autoscaling\/v2beta2/'
  broken 'spec.scaleTargetRef: Deployment api sets replicas' '' '0,/^spec:/s//spec:\n  replicas: 3/'
  broken 'spec.metrics: container "api" requests no memory' '' '/requests:/,/limits:/{/memory:/d}'
  printf '%d broken autoscalers refused' $broken
  [ $past -eq 0 ] || printf '; the schema alone lets %d of them pass' $past
  printf '\n'
}

golden() {
  [ "${CHECK_HPA_QUICK:-}" != yes ] || { printf 'SKIP: not asked for\n'; return; }
  cargo test --quiet --workspace --features "$ALL_FEATURES" --test autoscale --test autoscale_manifests >"$scratch/said" 2>&1 ||
    { cat "$scratch/said"; fault "the simulator does not decide as Kubernetes does"; }
  grep '^test result' "$scratch/said" || true
}

of_role() { awk -v role="$1" '$1 == role' $MEASURED; }
predict() { # role, memory or nothing for what was measured [, option …]
  local role=$1 pretended=$2 capacity cpu memory starts_in
  shift 2
  read -r _ _ capacity cpu memory starts_in <<<"$(of_role "$role")"
  memory=${pretended:-$memory}
  simulate --hpa $HPA --name "$role" --points "$(load_of "$role")" --times "$capacity" --capacity "$capacity" --cpu "$cpu" --memory "$memory" --starts-in "$((${starts_in%ms} + PLACING))ms" "$@"
}

# Four fifths of the request held by what is idle: within the tolerance of every target, so that nobody ever goes.
memory_pin() {
  local role status request
  for role in api web worker; do
    request=$(of_role $role | sed 's/.* request=\([0-9]*\)Mi.*/\1/')
    status=0
    predict $role "request=${request}Mi,idle=$((request * 4 / 5))Mi,full=${request}Mi" >"$scratch/said" 2>&1 || status=$?
    if [ $status -ne 1 ] || ! grep '^pinned' "$scratch/said"; then fault "$HPA: $role: memory that keeps all replicas was not found"; fi
  done
}

# What is kept of a prediction: name, pointer, factor, unit.
FIGURES=(
  'more asked than ready replicas do|/0/breach_secs|0.016666666666666666|min'
  'replica-hours beyond what was enough|/0/waste_replica_hours|1|h'
  'most replicas|/0/peak|1|replicas'
  'changes of their number|/0/changes|1|changes'
)
predictions() {
  local role figure name pointer times unit
  for role in api web worker; do
    predict $role "" --json "$scratch/$role.json" >"$scratch/$role.txt" || fault "$HPA: $role: $(grep -E '^(wrong|pinned)' "$scratch/$role.txt" || echo 'cannot be simulated')"
    grep -vE '^(breach|waste|pinned)' "$scratch/$role.txt" | head -n 1
    grep -E '^(breach|waste|pinned)' "$scratch/$role.txt"
    for figure in "${FIGURES[@]}"; do
      IFS='|' read -r name pointer times unit <<<"$figure"
      name="$role autoscaled, simulated: $name"
      if [ $record = yes ]; then
        "$CHECK_HPA_BIN/offgridflow-bench" record "$scratch/$role.json" --commit "$(git rev-parse HEAD)" --value "$name=$pointer" --n /0/length_secs --times "$times" --unit "$unit" >&2
      else
        recorded "$name" "$scratch/$role.json" "${pointer##*/}" "$times"
      fi
    done
  done
}
recorded() { # name, json, field, factor
  local now kept
  now=$(awk -F ': ' -v field="\"$3\"" -v times="$4" '{ gsub(/[ ,]/, "", $2); name = $1; gsub(/ /, "", name) } name == field { printf "%.6f", $2 * times; exit }' "$2")
  kept=$(awk -v name="{\"name\":\"$1\"," 'index($0, name) == 1 { sub(/.*"value":/, ""); sub(/,.*/, ""); value = $0 } END { if (value != "") printf "%.6f", value }' bench-records.jsonl)
  [ "$now" = "$kept" ] || fault "docs/PERFORMANCE_BENCHMARKS.md: $1: ${kept:-nothing} is kept, $now is predicted; scripts/check-hpa.sh --record keeps it"
}

tools
step "schema"
if [ $schema = yes ]; then schemas; else printf 'SKIP: there is no pip that can install kubernetes-validate, so NO SCHEMA WAS LOOKED AT\n'; fi
step "semantics"
semantics || fault "$HPA: see above"
step "broken autoscalers"
broken_all
step "golden cases"
golden
step "memory pin"
memory_pin
step "predictions"
predictions
if [ $record = yes ]; then "$CHECK_HPA_BIN/offgridflow-bench" docs >&2; else
  "$CHECK_HPA_BIN/offgridflow-bench" docs --check >"$scratch/said" 2>&1 || { cat "$scratch/said"; fault "docs/PERFORMANCE_BENCHMARKS.md: not what the records say"; }
fi

if [ -s "$scratch/faults" ]; then
  printf '%d faults\n' "$(wc -l <"$scratch/faults")" >&2
  exit 1
fi
printf '3 autoscalers hold, %d broken ones are refused, schema %s\n' $broken "$([ $schema = yes ] && echo looked at || echo NOT LOOKED AT)"
