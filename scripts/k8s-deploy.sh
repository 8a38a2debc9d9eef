#!/usr/bin/env bash
# Brings a release to a cluster in seven steps, and stops at the first that fails. A second run changes nothing.
#   1 check     the arguments make sense, kubectl is there, the cluster answers
#   2 render    the overlay's manifests, with this release's images
#   3 secret    the namespace is there, and in it the Secret `offgridflow`, filled in
#   4 rehearse  the cluster takes every manifest, without keeping any
#   5 migrate   the schema, by a Job whose name carries the tag; it must succeed before anything that needs it comes
#   6 apply     everything else
#   7 roll out  until every replica of the three Deployments is the new one, and ready
# Usage: scripts/k8s-deploy.sh OVERLAY TAG REGISTRY
#   OVERLAY   a folder of infra/overlays: staging, production
#   TAG       of the images: lower case letters, digits, dots and dashes
#   REGISTRY  where they are: REGISTRY/offgridflow/api:TAG, worker and web
# Environment: CONTEXT (of the kubeconfig; default: its current one), MIGRATE_SECS and ROLLOUT_SECS (how long those may take; 600 each).
# Exit status: 0 deployed, 1 a step failed, 2 usage, 4 kubectl is missing.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"
source scripts/k8s-common.sh

OVERLAY=${1:-} TAG=${2:-} REGISTRY=${3:-}
ROLES=(api worker web)
MIGRATE_SECS=${MIGRATE_SECS:-600}
ROLLOUT_SECS=${ROLLOUT_SECS:-600}
MANAGER=offgridflow-deploy

begin() { # number, name, what
  number=$1 name=$2
  printf '%d/7 %-9s %s\n' "$1" "$2" "$3"
}
fail() { stop "step $number of 7, $name: $*"; }

# Server-side: the cluster merges, so that what others own (replicas: the autoscaler) stays theirs.
apply() { # file, option …
  local file=$1 said
  shift
  [ -s "$file" ] || return 0
  said=$(kube apply --server-side --field-manager "$MANAGER" --validate=strict "$@" --filename "$file" 2>&1) || { printf '%s\n' "$said" >&2; return 1; }
}

check() {
  choose_overlay "$OVERLAY"
  [[ $TAG =~ ^[a-z0-9]([a-z0-9.-]{0,46}[a-z0-9])?$ ]] ||
    usage "TAG=${TAG:-(none)}: up to 48 lower case letters, digits, dots and dashes; the migration's Job is named after it"
  [ "$TAG" != latest ] || usage "TAG=latest names no release: nobody could say what runs, or go back to it"
  [[ $REGISTRY =~ ^[a-z0-9.:/-]+[a-z0-9]$ ]] || usage "REGISTRY=${REGISTRY:-(none)}: where the images are, such as registry.example/team"
  [[ $MIGRATE_SECS =~ ^[0-9]+$ && $ROLLOUT_SECS =~ ^[0-9]+$ ]] || usage "MIGRATE_SECS and ROLLOUT_SECS are seconds"
  begin 1 check "$OVERLAY, release $TAG of $REGISTRY"
  reach
}

kustomization() { # configuration's checksum
  printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../../../%s/%s]\nimages:\n' "$OVERLAYS" "$overlay"
  for role in "${ROLES[@]}"; do
    printf '  - { name: offgridflow/%s, newName: %s/offgridflow/%s, newTag: "%s" }\n' "$role" "$REGISTRY" "$role" "$TAG"
  done
  printf 'patches:\n'
  printf '  - target: { kind: Job, name: migrate }\n    patch: |\n      - { op: replace, path: /metadata/name, value: "migrate-%s" }\n' "$TAG"
  # A change of the configuration alone must reach the pods, too: they read it when they start.
  printf '  - target: { kind: Deployment }\n    patch: |\n      - { op: add, path: /spec/template/metadata/annotations/offgridflow.config, value: "%s" }\n' "$1"
}

# The manifests, one file a step: what the migration needs, the migration, everything else.
render() {
  begin 2 render "$OVERLAYS/$overlay"
  work=$(mktemp -d target/k8s/XXXXXX)
  trap 'rm -rf "$work"' EXIT
  local configuration
  configuration=$(sha256sum infra/k8s/config.yaml "$OVERLAYS/$overlay/kustomization.yaml" | sha256sum | cut -c 1-16)
  mkdir "$work/kustomization"
  kustomization "$configuration" >"$work/kustomization/kustomization.yaml"
  "$KUBECTL" kustomize "$work/kustomization" >"$work/all.yaml" 2>"$work/said" || { cat "$work/said" >&2; fail "the manifests cannot be made"; }
  awk -v folder="$work" '
    function flush() { if (text != "") printf "---\n%s", text >> (folder "/" file); text = ""; file = "rest.yaml" }
    BEGIN { file = "rest.yaml" }
    /^---$/ { flush(); next }
    /^kind: Namespace$/ { file = "namespace.yaml" }
    /^kind: (ConfigMap|ServiceAccount|NetworkPolicy)$/ { file = "before.yaml" }
    /^kind: Job$/ { file = "job.yaml" }
    { text = text $0 "\n" }
    END { flush() }' "$work/all.yaml"
  local image
  while read -r image; do
    [[ $image == "$REGISTRY"/offgridflow/*:"$TAG" ]] || fail "a manifest asks for $image, which is not of this release"
  done < <(sed -n 's/^ *\(- \)\{0,1\}image: //p' "$work/all.yaml")
}

secret() {
  begin 3 secret "namespace $namespace"
  apply "$work/namespace.yaml" || fail "the namespace $namespace cannot be made"
  local keys key
  # shellcheck disable=SC2016 # kubectl's own variables
  keys=$(in_namespace get secret offgridflow --output 'go-template={{range $key, $value := .data}}{{$key}} {{end}}' 2>&1) ||
    fail "there is no Secret \`offgridflow\` in namespace $namespace: fill in a copy of infra/k8s/secrets.example.yaml and apply it (${keys##*$'\n'})"
  for key in OFFGRIDFLOW_DATABASE_URL OFFGRIDFLOW_API_KEYS; do
    [[ " $keys " == *" $key "* ]] || fail "the Secret \`offgridflow\` in namespace $namespace has no $key"
  done
}

rehearse() {
  begin 4 rehearse "$(grep -c '^kind: ' "$work/all.yaml") manifests"
  apply "$work/all.yaml" --dry-run=server || fail "the cluster refuses a manifest; nothing of this release was applied"
}

# `Complete`, `Failed`, or nothing yet.
outcome() { in_namespace get job "migrate-$TAG" --ignore-not-found --output 'jsonpath={.status.conditions[?(@.status=="True")].type}'; }

migrate() {
  begin 5 migrate "job migrate-$TAG"
  local before said='' until
  apply "$work/before.yaml" || fail "the configuration was refused"
  before=$(outcome) || fail "the cluster does not say how job migrate-$TAG is"
  if [[ $before == *Failed* ]]; then
    printf '              job migrate-%s failed before: it is tried anew\n' "$TAG"
    in_namespace delete job "migrate-$TAG" --wait=true >&2 || fail "job migrate-$TAG, which failed before, cannot be deleted"
  fi
  apply "$work/job.yaml" || fail "the job was refused"
  until=$((SECONDS + MIGRATE_SECS))
  until [[ $said == *Complete* ]]; do
    [ $SECONDS -le $until ] || fail "job migrate-$TAG is not done after $MIGRATE_SECS s; what runs is untouched. See: kubectl -n $namespace describe job migrate-$TAG"
    [ -z "$said" ] || sleep 1
    said=$(outcome) || fail "the cluster does not say how job migrate-$TAG is"
    if [[ $said == *Failed* ]]; then
      in_namespace logs "job/migrate-$TAG" --tail=20 >&2 || true
      fail "the migration failed, so nothing that needs it was applied; what runs is untouched"
    fi
    said=${said:-waiting}
  done
}

apply_rest() {
  begin 6 apply "$(grep '^kind: ' "$work/rest.yaml" | sort | uniq -c | awk '{ printf "%s%d %s", (NR > 1 ? ", " : ""), $1, $3 }')"
  apply "$work/rest.yaml" || fail "a manifest was refused"
}

roll_out() {
  begin 7 'roll out' "${ROLES[*]}"
  local role
  for role in "${ROLES[@]}"; do
    # One wait, not one request: it ends by its own clock.
    "$KUBECTL" ${CONTEXT:+--context "$CONTEXT"} --namespace "$namespace" rollout status "deployment/$role" --timeout "${ROLLOUT_SECS}s" >"$work/said" 2>&1 || {
      tail -n 3 "$work/said" >&2
      in_namespace get pods --selector "app.kubernetes.io/name=$role" >&2 || true
      fail "$role did not roll out; its old replicas still serve. Back to them: kubectl -n $namespace rollout undo deployment/$role"
    }
  done
}

check
mkdir -p target/k8s
render
secret
rehearse
migrate
apply_rest
roll_out
printf 'release %s runs in %s\n' "$TAG" "$namespace"
