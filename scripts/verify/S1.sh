#!/usr/bin/env bash
# S1: from a fresh clone, `make demo` serves, loads itself and reports. The measured figure is the demo's time after the build.
# Control: the same demo against a server that is stopped while it is loaded must not come out Valid with exit status 0.
source "$(dirname "$0")/../common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet . "$work/clone"
# A target folder of its own: cargo takes the clone's crates for ours. Quick runs keep it; in full size nothing was ever built.
target=$PWD/target/verify/build
[ "$VERIFY_SIZE" = full ] && target=$work/target
export CARGO_TARGET_DIR=$target
cd "$work/clone"

cargo build --release --quiet -p offgridflow
began=$SECONDS
make demo >"$work/out" 2>"$work/err" || { echo "FAIL measured=none make demo exited with $?"; tail -n 20 "$work/err" >&2; exit 0; }
took=$((SECONDS - began))
cat "$work/out" >&2
grep -q '^verdict: Valid' "$work/out" || { echo "FAIL measured=${took}s $(grep '^verdict' "$work/out")"; exit 0; }
for file in report.html report.json flamegraph.svg profile.pb.gz; do
  [ -s "target/demo/$file" ] || { echo "FAIL measured=${took}s no $file"; exit 0; }
done
grep -q 'unknown (needs' "$work/out" || { echo "FAIL measured=${took}s no memory verdict of a short series"; exit 0; }

# The control: stop the server two seconds into the load.
"$target/release/offgridflow" demo --seconds 8 --out "$work/control" >"$work/control.out" 2>"$work/control.err" &
demo=$!
until grep -q '2 s / 8 s' "$work/control.err" 2>/dev/null; do kill -0 $demo 2>/dev/null || break; sleep 0.1; done
server=$(pgrep -P $demo -x offgridflow | head -n 1)
[ -n "$server" ] && kill -STOP "$server"
sleep 5
[ -n "$server" ] && kill -KILL "$server"
control=0
wait $demo || control=$?
if [ "$control" -eq 0 ]; then echo "FAIL measured=${took}s the control passed"; exit 0; fi
if [ "$took" -gt 60 ]; then echo "FAIL measured=${took}s control=exit $control"; exit 0; fi
echo "PASS measured=${took}s control=a stopped server gives exit $control n=1"
