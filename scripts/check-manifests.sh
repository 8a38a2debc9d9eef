#!/usr/bin/env bash
# Validates the load tester's Kubernetes manifests against the schemas of Kubernetes, strictly (an unknown field is an error), by the Python package
# kubernetes-validate, which holds them. Control: the same manifest with a field that does not exist has to be refused.
# Usage: scripts/check-manifests.sh
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

VERSION=1.37.0
tool=target/tools/kubernetes-validate
if [ ! -x "$tool/bin/kubernetes-validate" ]; then
  { python3 -m venv "$tool" && "$tool/bin/pip" -q install "kubernetes-validate==$VERSION"; } >&2 || die "cannot install kubernetes-validate"
fi
valid() { "$tool/bin/kubernetes-validate" --strict "$1" >&2; }

for manifest in docs/loadtest/*.yaml; do
  valid "$manifest" || { echo "FAIL $manifest"; exit 1; }
  broken=$(mktemp --suffix=.yaml)
  trap 'rm -f "$broken"' EXIT
  sed 's/backoffLimit/backofLimit/' "$manifest" >"$broken"
  if valid "$broken" 2>/dev/null; then
    echo "FAIL the check passes a field that does not exist"
    exit 1
  fi
  echo "PASS $manifest"
done
