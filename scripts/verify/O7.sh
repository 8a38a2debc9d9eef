#!/usr/bin/env bash
# O7: a release comes to a cluster in exactly seven steps, a second run changes nothing, and what fails stops what follows. Measured by `scripts/k8s-deploy.sh`,
# run with the real kubectl on a cluster's API that was written for this (testkit/tests/deploy); no cluster is at hand.
# Control: faults planted in a copy of the scripts, each of which the tests must find: a migration after what needs it, one whose failure is not looked at,
# a roll-out that nobody waits for, a secret that nobody looks for, a rehearsal left out.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

have kubectl || { echo "SKIP measured=none missing: kubectl"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL measured=${passed:-none} $*"; exit 0; }

cargo test --quiet -p testkit --test deploy >"$work/said" 2>&1 || { cat "$work/said" >&2; fail "a deployment went wrong"; }
grep -q SKIP "$work/said" && { echo "SKIP measured=none missing: kubectl"; exit 0; }
passed=$(sed -n 's/^test result: ok. \([0-9]*\) passed.*/\1/p' "$work/said")
[ "${passed:-0}" -ge 12 ] || fail "only ${passed:-0} deployments were tried"

found=0
planted() { # the test that must fail, sed expression on the script
  rm -rf "$work/copy"
  mkdir "$work/copy"
  cp -r infra scripts Makefile "$work/copy"
  sed -i -E "$2" "$work/copy/scripts/k8s-deploy.sh"
  cmp -s scripts/k8s-deploy.sh "$work/copy/scripts/k8s-deploy.sh" && fail "nothing was planted: $2"
  if OFFGRIDFLOW_DEPLOY_ROOT=$work/copy cargo test --quiet -p testkit --test deploy -- "$1" >"$work/said" 2>&1; then
    fail "nobody notices: $2"
  fi
  grep -q '^test result: FAILED. 0 passed; 1 failed' "$work/said" || { cat "$work/said" >&2; fail "not for the fault that was planted: $2"; }
  found=$((found + 1))
}
planted a_release_comes_in_seven_steps '/^migrate$/d; s/^apply_rest$/&\nmigrate/'
planted a_migration_that_fails_stops 's/^ *fail "the migration failed.*/      return/'
planted a_release_comes_in_seven_steps '/^roll_out$/d'
planted without_its_secret '/^secret$/d'
planted a_manifest_that_the_cluster_refuses '/^rehearse$/d'

echo "PASS measured=7-steps control=$found planted faults found n=$passed with the real kubectl, on a cluster's API written for the test"
