#!/usr/bin/env bash
# S2: from a fresh clone, `make test` installs what is missing and passes. The measured figure is its time.
# Control: the same clone with one assertion turned round must fail.
source "$(dirname "$0")/../common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet . "$work/clone"
# A target folder of its own: cargo takes the clone's crates for ours. Quick runs keep it; in full size nothing was ever built.
target=$PWD/target/verify/build
[ "$VERIFY_SIZE" = full ] && target=$work/target
export CARGO_TARGET_DIR=$target
cd "$work/clone"

began=$SECONDS
make test >"$work/out" 2>&1 || { echo "FAIL measured=none make test exited with $?"; cat "$work/out" >&2; exit 0; }
took=$((SECONDS - began))
passed=$(sed -n 's/.* \([0-9]* passed\).*/\1/p' "$work/out" | head -n 1)

# The control: a claim of the bench crate's that is no longer true.
sed -i 's/(59, 299)/(58, 299)/' offgridflow-bench/src/stats/quantile.rs
sed -i 's/Some(41), Some(58)/Some(40), Some(58)/' offgridflow-bench/src/stats/quantile.rs
if scripts/test.sh -E 'package(offgridflow-bench)' >"$work/control" 2>&1; then echo "FAIL measured=${took}s the control passed"; exit 0; fi
echo "PASS measured=${took}s control=a false claim fails n=$passed"
