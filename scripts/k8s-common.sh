# shellcheck shell=bash
# Sourced by scripts/k8s-*.sh: which cluster, which environment, and how kubectl is asked.

KUBECTL=${KUBECTL:-kubectl}
OVERLAYS=infra/overlays

stop() { printf '%s\n' "$*" >&2; exit 1; }
usage() { printf '%s\n' "$*" >&2; exit 2; }

# Every call is bounded: a cluster that does not answer is a failure, not a wait.
kube() { "$KUBECTL" ${CONTEXT:+--context "$CONTEXT"} --request-timeout=30s "$@"; }
in_namespace() { kube --namespace "$namespace" "$@"; }

# The environment's namespace, as its overlay says.
choose_overlay() { # name
  have "$KUBECTL" || die "missing: kubectl. Install it: https://kubernetes.io/docs/tasks/tools/"
  [[ $1 =~ ^[a-z0-9-]+$ && -f $OVERLAYS/$1/kustomization.yaml ]] ||
    usage "OVERLAY=${1:-(none)}: there is no $OVERLAYS/${1:-NAME}; there are: $(cd $OVERLAYS && echo *)"
  overlay=$1
  namespace=$(sed -n 's/^namespace: //p' "$OVERLAYS/$overlay/kustomization.yaml")
}

# A word of a cluster that is there; what kubectl said of one that is not.
reach() {
  local said
  said=$(kube get --raw /readyz 2>&1) || stop "the cluster of context ${CONTEXT:-$("$KUBECTL" config current-context 2>/dev/null || echo '(none)')} does not answer: ${said##*$'\n'}"
}
