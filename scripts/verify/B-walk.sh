#!/usr/bin/env bash
# Walks the gate over this repository and writes what it said to docs/design/bench-walk.md: a commit of documentation, a slow-down of 5 % planted
# in the hit path of the cache, and the ten newest commits that change the sources of the crates that `benches` measures; of each only the programs that use what it changes. What was measured is kept in target/verify/walk; a walk that was
# cut short goes on there.
# Usage: scripts/verify/B-walk.sh [SECONDS A COMMIT, 150] [COMMITS, 10]
#   OFFGRIDFLOW_BENCH names a command that is built already, WALK_HEAD the commit to begin at (HEAD), WALK_EIGHTHS how many eighths of an atomic
#   counter are planted (8 or more; else it is calibrated to 5 % by two runs), WALK_NOTE a sentence about how that went.

# shellcheck disable=SC2016 # Markdown
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

seconds=${1:-150} commits=${2:-10}
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
gate=${OFFGRIDFLOW_BENCH:-}
[ -n "$gate" ] || { cargo build --release --quiet -p offgridflow-bench && gate=$target/release/offgridflow-bench; }
head=$(git rev-parse "${WALK_HEAD:-HEAD}")
kept=$target/verify/walk
mkdir -p "$kept"
clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT
git clone --quiet --shared . "$clone"
in_clone() { git -C "$clone" -c user.name=walk -c user.email=walk@walk "$@"; }

# One gate: what it said, its exit status and its seconds, unless an earlier walk has them.
walk() { # name, options of the gate …
  local name=$1 status=0 began=$SECONDS
  shift
  [ ! -s "$kept/$name.status" ] || return 0
  (cd "$clone" && CARGO_TARGET_DIR=$kept timeout 1500 "$gate" gate --report "$kept/$name.json" "$@") >"$kept/$name.md" 2>"$kept/$name.log" || status=$?
  printf '%d\n' $((SECONDS - began)) >"$kept/$name.seconds"
  printf '%d\n' "$status" >"$kept/$name.status"
  printf '%s: exit %d after %d s\n' "$name" "$status" $((SECONDS - began)) >&2
}
# The benchmark programs that use what a commit changes.
programs() { # commit
  local changed program crate
  changed=$(in_clone diff --name-only "$1~1" "$1")
  for program in "$clone"/benches/benches/*.rs; do
    for crate in $(grep -o 'offgridflow_[a-z]*' "$program" | sort -u | tr _ -); do
      if grep -q "^$crate/src" <<<"$changed"; then printf -- '--bench %s ' "$(basename "$program" .rs)"; break; fi
    done
  done
}
rows() { awk -F' [|] ' -v verdict="$2" '/^[|] / && $2 == verdict' "$kept/$1.md"; } # name, verdict
count() { rows "$1" "$2" | wc -l; }

# A commit on top of HEAD: a counter ahead of every hit, and ahead of some of them more, such as somebody might put there.
plant() { # eighths of a counter, 8 or more
  in_clone checkout --quiet --detach "$head"
  awk -v eighths="$1" '
    { print }
    /pub fn peek\(&self, key: &K\) -> Option<Arc<V>> \{/ {
      print "        static HITS: AtomicU64 = AtomicU64::new(0);"
      print "        static MORE: AtomicU64 = AtomicU64::new(0);"
      print "        let hit = HITS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);"
      for (nth = 2; nth <= eighths / 8; nth++) print "        MORE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);"
      print "        if hit % 8 < " eighths % 8 " { MORE.fetch_add(1, std::sync::atomic::Ordering::Relaxed); }"
    }' "$clone/offgridflow-cache/src/cache.rs" >"$clone/planted" && mv "$clone/planted" "$clone/offgridflow-cache/src/cache.rs"
  in_clone commit --quiet --all -m "planted: $1 eighths of a counter before each hit"
}

in_clone checkout --quiet --detach "$head"
printf '\nA sentence more.\n' >>"$clone/README.md"
sed -i '0,/^\/\/\/ /s//\/\/\/ A sentence more.\n\/\/\/\n\/\/\/ /' "$clone/offgridflow-cache/src/cache.rs"
in_clone commit --quiet --all -m "documentation"
walk documentation --base HEAD~1 --budget "$seconds" -- -p benches --bench cache

hit='hit/cache over moka'
only=(--filter "$hit" --budget "$seconds" -- -p benches --bench cache)
ratio() { awk -F' [|] ' -v bench="$hit" 'index($1, "benches/cache: " bench) && $3 != "" { print $3; exit }' "$kept/$1.md"; }
# What one counter and two of them cost, and so how many eighths cost 5 %.
eighths=${WALK_EIGHTHS:-}
if [ -z "$eighths" ]; then
  for nth in 8 16; do
    plant $nth
    walk "calibration-$nth" --base HEAD~1 --slowdown 0.1 "${only[@]}"
  done
  eighths=$(awk -v one="$(ratio calibration-8)" -v two="$(ratio calibration-16)" 'BEGIN {
    each = (two - one) / 8
    eighths = each > 0 ? int(8 + (1.05 - one) / each + 0.5) : 12
    print eighths < 8 ? 8 : eighths > 32 ? 32 : eighths }')
fi
plant "$eighths"
walk planted --base HEAD~1 "${only[@]}"

# The oldest first: the head of one is often the base of the next, and built already.
mapfile -t chosen < <(git rev-list --no-merges --max-count="$commits" "$head" -- offgridflow-{cache,query,profile,loadtest}/src | tac)
for commit in "${chosen[@]}"; do
  in_clone checkout --quiet --detach "$commit"
  # shellcheck disable=SC2046 # several words
  walk "$commit" --base HEAD~1 --budget "$seconds" -- -p benches $(programs HEAD)
done

says() { # name, shown options
  printf '```console\n$ offgridflow-bench gate %s\n' "$2"
  grep -E '^\*\*' "$kept/$1.md" || true
  grep -E '^\| ' "$kept/$1.md" | head -n 4
  printf '$ echo $?\n%s\n```\n\n' "$(cat "$kept/$1.status")"
}
red=0
for commit in "${chosen[@]}"; do [ "$(cat "$kept/$commit.status")" != 1 ] || red=$((red + 1)); done
{
  printf '# The gate walks over this repository\n\n'
  printf '`scripts/verify/B-walk.sh %s %s` wrote this page: the gate on commits of this repository, %s s of measuring each, beside whatever else ran on\n%s (%s processors), on %s, from %s.\n\n' \
    "$seconds" "$commits" "$seconds" "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(date -u +%F)" "${head:0:12}"
  printf '## A commit of documentation\n\n%s benchmarks are identical; nothing is run.\n\n' "$(count documentation identical)"
  says documentation "--base HEAD~1 -- -p benches --bench cache"
  printf '## A slow-down of 5 %% in the hit path\n\nAn atomic counter ahead of every `peek`, and %s more ahead of eight of them: what costs 5 %%, by two runs with one counter (%s) and with two (%s).\n\n' \
    "$((eighths - 8))" "$(ratio calibration-8 2>/dev/null || echo given)" "$(ratio calibration-16 2>/dev/null || echo given)"
  [ -z "${WALK_NOTE:-}" ] || printf '%s\n\n' "$WALK_NOTE"
  says planted "--base HEAD~1 --filter '$hit' -- -p benches --bench cache"
  printf '## %s commits that meant no slow-down\n\nThe newest that change sources of crates which `benches` measures, each against its parent, in the programs that use what it changes. Red: %s.\n\n' "${#chosen[@]}" "$red"
  printf '| commit | subject | identical | no regression | improved | undecided | regressed | exit | seconds |\n|---|---|---|---|---|---|---|---|---|\n'
  for commit in "${chosen[@]}"; do
    printf '| `%s` | %s | %s | %s | %s | %s | %s | %s | %s |\n' "${commit:0:12}" "$(git log -1 --format=%s "$commit" | tr '|' '/')" \
      "$(count "$commit" identical)" "$(count "$commit" no-regression)" "$(count "$commit" improved)" \
      "$(($(count "$commit" undecided) + $(count "$commit" layout-sensitive)))" "$(count "$commit" regressed)" \
      "$(cat "$kept/$commit.status")" "$(cat "$kept/$commit.seconds")"
  done
  printf '\nSeconds hold the builds. What is identical was told by comparing programs, without a run; only the others say something of noise. What is undecided had no turn, or too few\nrounds, in the budget.\n'
  for commit in "${chosen[@]}"; do
    [ "$(count "$commit" regressed)" -eq 0 ] || printf '\nRed in `%s`:\n\n| benchmark | verdict | ratio | 95 %% interval | rounds | p | note |\n|---|---|---|---|---|---|---|\n%s\n' "${commit:0:12}" "$(rows "$commit" regressed)"
  done
} >docs/design/bench-walk.md
word=FAIL
[ "$(cat "$kept/documentation.status")" = 0 ] && [ "$(count documentation identical)" -gt 0 ] && [ "$(cat "$kept/planted.status")" = 1 ] && [ "$red" -eq 0 ] && word=PASS
echo "$word measured=documentation-identical-$(count documentation identical),planted-5%-exit-$(cat "$kept/planted.status")-ratio-$(ratio planted),red-$red-of-${#chosen[@]} control=the-planted-commit-is-red n=${#chosen[@]}-commits"
