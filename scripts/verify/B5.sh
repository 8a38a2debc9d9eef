#!/usr/bin/env bash
# B5: commits of an ordinary crate that change documentation, comments, line numbers or a build stamp are `identical` and nothing is run.
# Commits that only move code about (a function more, of some length, that nothing calls) are measured in three link orders: at most one in
# fifty may be red (3 commits in quick size, 25 in full). Controls: the same programs differ byte for byte; a commit that changes one number is
# not `identical`; nor are those that move code.
source "$(dirname "$0")/bench-lab.sh"

cat >>"$LAB/src/lib.rs" <<'RS'

/// Which build this is.
#[inline(never)]
pub fn stamp() -> &'static str {
    option_env!("BUILD_STAMP").unwrap_or("none")
}

/// Checks an index.
#[inline(never)]
pub fn at(list: &[u64], index: usize) -> u64 {
    list[index]
}
RS
sed -i 's/^fn mix(c: &mut Criterion) {/fn mix(c: \&mut Criterion) {\n    assert!(!real::stamp().is_empty() \&\& real::at(\&[1], std::env::args().skip(99).count()) == 1);/' "$LAB/benches/speed.rs"
lab_commit stamp

failed='' differing=0 commits=0
judge() { # kind
  lab_commit "$1"
  commits=$((commits + 1))
  local said status=0
  said=$(BUILD_STAMP=$RANDOM$commits lab_gate --base HEAD~1 --stamp-env BUILD_STAMP -- --bench speed 2>"$LAB/target/log") || status=$?
  printf '%s: %s\n%s\n' "$1" "$status" "$said" >&2
  [ "$status" -eq 0 ] && [ "$(grep -c '| identical |' <<<"$said")" -eq 2 ] && ! grep -q '^pilot' "$LAB/target/log" || failed+=" $1"
  cmp -s "$target"/verify/lab/offgridflow-bench/{base,head}/real--speed || differing=$((differing + 1))
}
sed -i 's|^/// Mixes|/// Longer documentation.\n///\n/// Mixes|' "$LAB/src/lib.rs"; judge documentation
sed -i '1i // A comment.' "$LAB/benches/speed.rs"; judge comment
sed -i 's|^/// Checks|\n\n\n/// Checks|' "$LAB/src/lib.rs"; judge line-numbers
printf '# A page.\n' >"$LAB/README.md"; judge page
sed -i 's|list\[index\]|\n    list[index]|' "$LAB/src/lib.rs"; judge panic-line

sed -i 's/TURNS: u64 = 2_000/TURNS: u64 = 2_001/' "$LAB/src/lib.rs"
lab_commit change
changed=$(lab_gate --base HEAD~1 --rounds 1 --budget 5 -- --bench speed) || true

red=0 moved=0 same=0
[ "${VERIFY_SIZE:-quick}" = full ] && moves=25 || moves=3
for ((nth = 1; nth <= moves; nth++)); do
  {
    printf '\n/// Padding that nothing calls.\n#[used]\npub static PADDING_%d: fn(u64) -> u64 = padding_%d;\nfn padding_%d(n: u64) -> u64 {\n    let mut n = n;\n' $nth $nth $nth
    for ((line = 0; line < nth * 3 + 1; line++)); do printf '    n = std::hint::black_box(n).rotate_left(%d) ^ %d;\n' $((line % 60 + 1)) $line; done
    printf '    n\n}\n'
  } >>"$LAB/src/lib.rs"
  lab_commit "moved $nth"
  moved=$((moved + 1)) status=0
  said=$(lab_gate --base HEAD~1 --layouts 3 --filter mix --rounds 24 --budget 25 -- --bench speed) || status=$?
  printf '%s\n' "$said" >&2
  [ "$status" -ne 1 ] || red=$((red + 1))
  ! grep -q '| identical |' <<<"$said" || same=$((same + 1))
done

word=FAIL
[ -z "$failed" ] && [ "$differing" -gt 0 ] && ! grep -q '| identical |' <<<"$changed" && [ $((red * 50)) -le $((moved > 50 ? moved : 50)) ] && [ "$same" -eq 0 ] && word=PASS
echo "$word measured=identical-$((commits - $(wc -w <<<"$failed")))-of-$commits,red-of-those-that-move-code-$red-of-$moved control=byte-for-byte-$differing-of-$commits-differ,a-changed-number-is-not-identical n=$commits-commits failing:${failed:- none}"
