#!/usr/bin/env bash
# O2: the simulator of autoscalers decides as Kubernetes' own tests say, in every golden case and trajectory.
# Control: memory that keeps all replicas, which must be found, and fail the lint; the same replicas with the memory that was measured pass.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
measured=none
fail() { echo "FAIL measured=$measured $*"; exit 0; }
golden() { cargo test --quiet --workspace --features "$ALL_FEATURES" --test autoscale --test autoscale_manifests --test command_autoscale >"$work/said" 2>&1; }

golden || { cat "$work/said" >&2; fail "a golden case is decided otherwise"; }
measured=$(awk '/^test result: ok/ { sum += $4 } END { print sum }' "$work/said")-tests

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
[ -x "$target/debug/offgridflow-loadtest" ] || cargo build --quiet --workspace --features "$ALL_FEATURES" --bin offgridflow-loadtest
pinned() { # memory
  "$target/debug/offgridflow-loadtest" autoscale --hpa infra/k8s/hpa.yaml --name api --points 0s=100,30m=100 --capacity 150 --cpu request=500m,idle=10m,full=450m --memory "$1"
}
if pinned request=128Mi,idle=96Mi,full=120Mi >"$work/said" || ! grep -q '^pinned  idle replicas hold 75 %' "$work/said"; then fail "memory that keeps all replicas is not found"; fi
read -r _ _ _ _ memory _ <<<"$(grep '^api ' infra/k8s/measured.txt)"
pinned "$memory" >"$work/said" || fail "the memory that was measured is said to keep replicas"

echo "PASS measured=$measured control=1 memory pin fails the lint, measured memory passes n=${measured%-*}"
