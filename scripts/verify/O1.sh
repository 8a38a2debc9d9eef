#!/usr/bin/env bash
# O1: the autoscalers pass Kubernetes' schema and what no schema says, and at least twelve broken ones are each refused for what was broken. Measured by
# `scripts/check-hpa.sh`.
# Controls: each broken autoscaler; and faults planted in a copy, which that script must name: an autoscaler that contradicts itself, a misspelt field, a manifest that is
# no Deployment any more, a broken autoscaler that is none, predictions that are not those that are written.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
measured=none
fail() { echo "FAIL measured=$measured $*"; exit 0; }

said=$(scripts/check-hpa.sh 2>"$work/err") || { printf '%s\n' "$said" >&2; cat "$work/err" >&2; fail "$(tail -n 1 <<<"$said")"; }
last=$(tail -n 1 <<<"$said")
measured=$(sed -n 's/^.* hold, \([0-9]*\) broken.*/\1/p' <<<"$last")-of-$(grep -c '^  broken ' scripts/check-hpa.sh)
[ "${measured%%-*}" -ge 12 ] || fail "fewer than twelve broken autoscalers"
[[ $last != *'NOT LOOKED AT'* ]] || { echo "SKIP measured=$measured missing: pip, so no schema was looked at"; exit 0; }

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
found=0
planted() { # what must be said, file, sed expression
  local status=0
  rm -rf "$work/copy"
  mkdir -p "$work/copy/docs"
  cp -r infra scripts bench.toml bench-records.jsonl "$work/copy"
  cp docs/PERFORMANCE_BENCHMARKS.md "$work/copy/docs"
  sed -i -E "$3" "$work/copy/$2"
  cmp -s "$2" "$work/copy/$2" && fail "nothing was planted in $2: $3"
  CHECK_HPA_BIN=$target/debug CHECK_HPA_QUICK=yes CHECK_HPA_TOOLS=$(echo "$PWD"/target/tools/kubernetes-validate-*) "$work/copy/scripts/check-hpa.sh" >"$work/found" 2>&1 || status=$?
  if [ $status -ne 1 ] || ! grep -qE "$1" "$work/found"; then
    cat "$work/found" >&2
    fail "exit $status, not named: $1"
  fi
  found=$((found + 1))
}
planted 'worker: spec.minReplicas: 6 is more than maxReplicas' infra/k8s/hpa.yaml 's/minReplicas: 1$/minReplicas: 6/'
planted 'infra/k8s/web.yaml: not as the schema of Kubernetes' infra/k8s/web.yaml 's/containerPort: 8080/containerPort: http/'
planted 'infra/k8s/api.yaml: not as the schema of Kubernetes' infra/k8s/api.yaml 's/readOnlyRootFilesystem/readonlyRootFilesystem/'
planted 'api: container "api" requests no memory|container "api" requests no memory' infra/k8s/api.yaml '/requests:/,/limits:/{/memory:/d}'
planted 'nothing was broken' scripts/check-hpa.sh "s/'0,.minReplicas: 2.s..minReplicas: 12.'/''/"
planted 'api autoscaled, simulated: .* is predicted' infra/k8s/hpa.yaml '0,/maxReplicas: 10/s//maxReplicas: 4/'

echo "PASS measured=$measured control=$found planted faults found n=${measured%%-*} $last"
