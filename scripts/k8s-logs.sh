#!/usr/bin/env bash
# Shows the newest log lines of every replica of a role.
# Usage: scripts/k8s-logs.sh OVERLAY ROLE [--follow] [--tail LINES]
#   ROLE  api, worker or web
# Environment: CONTEXT (of the kubeconfig; default: its current one).
# Exit status: 0 shown, 1 there is no such replica or the cluster does not answer, 2 usage, 4 kubectl is missing.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"
source scripts/k8s-common.sh

choose_overlay "${1:-}"
role=${2:-}
case $role in api | worker | web) ;; *) usage "a role is api, worker or web" ;; esac
shift 2
tail=100 follow=()
while [ $# -gt 0 ]; do
  case $1 in
    --follow) follow=(--follow) ;;
    --tail) tail=${2:-}; [[ $tail =~ ^[0-9]+$ ]] || usage "--tail needs a number of lines"; shift ;;
    *) usage "unknown argument: $1" ;;
  esac
  shift
done
reach
selector=app.kubernetes.io/name=$role
pods=$(in_namespace get pods --selector "$selector" --output name) || stop "the cluster does not show the pods of $namespace"
[ -n "$pods" ] || stop "no replica of $role runs in $namespace"
"$KUBECTL" ${CONTEXT:+--context "$CONTEXT"} --namespace "$namespace" logs --selector "$selector" --prefix --tail "$tail" --max-log-requests 20 "${follow[@]}"
