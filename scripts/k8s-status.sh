#!/usr/bin/env bash
# Shows what runs in an environment: Deployments, autoscalers, pods, migrations; and says whether every Deployment has all its replicas.
# Usage: scripts/k8s-status.sh OVERLAY
# Environment: CONTEXT (of the kubeconfig; default: its current one).
# Exit status: 0 all replicas are new and ready, 1 some are not or the cluster does not answer, 2 usage, 4 kubectl is missing.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"
source scripts/k8s-common.sh

choose_overlay "${1:-}"
reach
in_namespace get deploy,hpa,pods,jobs,pdb || stop "the cluster does not show namespace $namespace"
template='{{range .items}}{{.metadata.name}} {{.spec.replicas}} {{or .status.updatedReplicas 0}} {{or .status.availableReplicas 0}} {{eq .metadata.generation .status.observedGeneration}}{{"\n"}}{{end}}'
rows=$(in_namespace get deployments --output "go-template=$template") || stop "the cluster does not show the Deployments of $namespace"
[ -n "$rows" ] || stop "nothing is deployed in $namespace"
status=0
while read -r name wanted new ready seen; do
  [ "$seen" = true ] && [ "$new" -ge "$wanted" ] && [ "$ready" -ge "$wanted" ] && continue
  printf '%s: %s wanted, %s new, %s ready\n' "$name" "$wanted" "$new" "$ready"
  status=1
done <<<"$rows"
[ $status -ne 0 ] || printf 'all replicas are new and ready\n'
exit $status
