#!/usr/bin/env bash
# B6: the gate on an ordinary criterion crate, unmodified: exit statuses 0 to 4 each provoked, by protocol and by files, and every report
# recomputed; rounds of criterion 0.5 (in full size 0.6 and 0.7, too) by protocol and by files. Control: a report with an altered round must not be
# believed.
source "$(dirname "$0")/bench-lab.sh"

failed='' reports=0
expect() { # what, wanted status, arguments of the gate …
  local what=$1 wanted=$2 status=0
  shift 2
  rm -f "$LAB/target/report.json"
  lab_gate --report "$LAB/target/report.json" "$@" >&2 || status=$?
  [ "$status" -eq "$wanted" ] || failed+=" $what:$status"
  [ -s "$LAB/target/report.json" ] || return 0
  reports=$((reports + 1)) again=0
  "$BENCH" recompute "$LAB/target/report.json" >/dev/null 2>&1 || again=$?
  [ "$again" -eq "$status" ] || failed+=" $what:recomputed-$again"
}
expect identical 0 --base HEAD -- --bench speed
expect noise-is-not-red 0 --base HEAD --force --filter mix --slowdown 40 --budget 60 -- --bench speed
sed -i 's/TURNS: u64 = 2_000/TURNS: u64 = 2_800/' "$LAB/src/lib.rs"
lab_commit slower
expect regressed 1 --base HEAD~1 --filter mix --budget 90 -- --bench speed
sed 's/"base_first":true/"base_first":false/' "$LAB/target/report.json" >"$LAB/target/altered.json"
altered=0
"$BENCH" recompute "$LAB/target/altered.json" >/dev/null 2>&1 || altered=$?
expect undecided 3 --base HEAD~1 --filter mix --rounds 2 -- --bench speed
expect undecided-by-files 3 --base HEAD~1 --filter mix --rounds 1 --via files -- --bench speed
expect usage 2 --base HEAD~1 --alpha 0
sed -i 's/bench_function("mix"/bench_function("mixed"/' "$LAB/benches/speed.rs"
lab_commit renamed
expect missing 4 --base HEAD~1 --filter 'mix' -- --bench speed
expect allowed 0 --base HEAD~1 --filter 'mix' --allow-missing 'real/speed: mix' -- --bench speed
printf 'no rust\n' >>"$LAB/src/lib.rs"
lab_commit broken
expect does-not-build 4 --base HEAD~1 -- --bench speed
sed -i '/^no rust$/d' "$LAB/src/lib.rs"
spoken='0.8'
older=(0.5)
[ "${VERIFY_SIZE:-quick}" = full ] && older=(0.5 0.6 0.7)
for version in "${older[@]}"; do
  sed -i "s/^criterion = { version = \"[^\"]*\"/criterion = { version = \"$version\"/" "$LAB/Cargo.toml"
  cargo metadata --quiet --format-version 1 --manifest-path "$LAB/Cargo.toml" >/dev/null
  lab_commit "criterion $version"
  sed -i 's/TURNS: u64 = 2_/TURNS: u64 = 3_/;t;s/TURNS: u64 = 3_/TURNS: u64 = 2_/' "$LAB/src/lib.rs"
  lab_commit "changed under $version"
  for via in protocol files; do
    expect "criterion-$version-by-$via" 3 --base HEAD~1 --filter mix --rounds 1 --via $via -- --bench speed
    grep -q '"bench":"real/speed: mixed","round":0' "$LAB/target/report.json" || failed+=" criterion-$version-by-$via:no-round"
  done
  spoken+=",$version"
done
word=FAIL
[ -z "$failed" ] && [ "$altered" -eq 3 ] && word=PASS
echo "$word measured=exit-statuses-0-to-4-as-expected,$reports-reports-recomputed control=an-altered-report-exits-$altered n=$reports-reports-of-criterion-$spoken failing:${failed:- none}"
