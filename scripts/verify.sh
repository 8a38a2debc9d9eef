#!/usr/bin/env bash
# Measures the promises of docs/promises.toml and prints one line for each:
#   PASS|FAIL|SKIP|LATER ID measured=… target=… control=… n=… seconds=… note
# Usage: scripts/verify.sh AREA [--only ID] [--quick|--full] [--for DURATION] [--allow-skip] [--record]
#   AREA      cache, query, profile, loadtest, bench, ops or system
#   --record  keeps what was measured in bench-promises.jsonl, and makes docs/PERFORMANCE_BENCHMARKS.md anew; needs a commit without changes
# Exit status: 0 all pass, 1 a promise failed, 2 usage.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

usage() { printf '%s\n' "$*" "usage: scripts/verify.sh AREA [--only ID] [--quick|--full] [--for DURATION] [--allow-skip] [--record]" >&2; exit 2; }

area=${1:-}
[ -n "$area" ] || usage "name an area"
shift
only='' allow_skip=no record=no
export VERIFY_SIZE=quick VERIFY_FOR=''
while [ $# -gt 0 ]; do
  case $1 in
    --only) only=${2:-}; [ -n "$only" ] || usage "--only needs an id"; shift ;;
    --quick) VERIFY_SIZE=quick ;;
    --full) VERIFY_SIZE=full ;;
    --for) VERIFY_FOR=${2:-}; [[ $VERIFY_FOR =~ ^[0-9]+[smh]$ ]] || usage "--for needs a duration such as 8m"; shift ;;
    --allow-skip) allow_skip=yes ;;
    --record) record=yes ;;
    *) usage "unknown argument: $1" ;;
  esac
  shift
done

# One promise a line, tab-separated: id, target, control, later.
promises() {
  awk -v area="$1" '
    function value(line) { sub(/^[a-z]+ = "/, "", line); sub(/"$/, "", line); gsub(/\\"/, "\"", line); return line }
    function flush() { if (id != "" && its == area) printf "%s\t%s\t%s\t%s\n", id, target, control, later }
    /^\[\[promise\]\]/ { flush(); id = target = control = later = its = "" }
    /^id = / { id = value($0) }
    /^area = / { its = value($0) }
    /^target = / { target = value($0) }
    /^control = / { control = value($0) }
    /^later = / { later = value($0) }
    END { flush() }
  ' docs/promises.toml
}

# Runs one promise and prints its line; its script prints `PASS|FAIL|SKIP|LATER measured=… [control=…] [n=…] [note]`.
measure() { # id, target, control
  local id=$1 target=$2 control=$3 began=$SECONDS said
  said=$("scripts/verify/$id.sh" 2>"target/verify/$id.log" | tail -n 1) || true
  case $said in
    PASS\ * | FAIL\ * | SKIP\ * | LATER\ *) ;;
    *) said="FAIL measured=none (see target/verify/$id.log)" ;;
  esac
  [[ $said =~ ^PASS && ! $said =~ control= ]] && said="FAIL ${said#PASS } (no control failed in this run)"
  [[ $said == *control=* ]] || said="$said control=$control"
  printf '%s %s %s target=%s size=%s seconds=%d\n' "${said%% *}" "$id" "${said#* }" "$target" "$VERIFY_SIZE" $((SECONDS - began))
}

# What a line says, as a report that `offgridflow-bench record` takes.
report_of() { # id, line
  local id=$1 line=$2 json='{' name value
  for name in said measured control; do
    case $name in
      said) value=${line%% *} ;;
      measured) value=$(sed -n 's/.* measured=\([^ ]*\).*/\1/p' <<<"$line") ;;
      control) value=$(sed -n 's/.* control=\(.*\)/\1/p' <<<"$line" | sed 's/ n=.*//; s/ target=.*//') ;;
    esac
    value=${value//\\/\\\\}
    value=${value//\"/\\\"}
    json+="\"$name\": \"$value\", "
  done
  printf '%s"promise": "%s", "size": "%s"}\n' "$json" "$id" "$VERIFY_SIZE"
}

commit=$(git rev-parse HEAD 2>/dev/null || true)
if [ $record = yes ]; then
  [ -n "$commit" ] || usage "--record: git knows no commit here"
  [ -z "$(git status --porcelain --untracked-files=no)" ] || usage "--record: tracked files are changed, so no commit has what is measured"
fi

rows=$(promises "$area")
[ -n "$rows" ] || usage "no promises in area \`$area\`"
mkdir -p target/verify
failed=0 seen=0
while IFS=$'\t' read -r id target control later; do
  [ -z "$only" ] || [ "$id" = "$only" ] || continue
  seen=$((seen + 1))
  if [ -n "$later" ]; then
    line="LATER $id measured=none target=$target control=$control seconds=0 comes with $later"
  elif [ -x "scripts/verify/$id.sh" ]; then
    line=$(measure "$id" "$target" "$control")
  else
    line="FAIL $id measured=none target=$target control=$control seconds=0 no scripts/verify/$id.sh"
  fi
  printf '%s\n' "$line"
  report_of "$id" "$line" >"target/verify/$id.json"
  if [ $record = yes ]; then
    case $line in PASS* | FAIL*) cargo run --quiet -p offgridflow-bench -- record "target/verify/$id.json" --commit "$commit" >&2 ;; esac
  fi
  case $line in FAIL*) failed=1 ;; SKIP*) [ "$allow_skip" = yes ] || failed=1 ;; esac
done <<<"$rows"
[ $record = no ] || cargo run --quiet -p offgridflow-bench -- docs >&2
[ "$seen" -gt 0 ] || usage "no promise \`$only\` in area \`$area\`"
exit $failed
