#!/usr/bin/env bash
# Checks the Makefile: `make help` lists every target, those that a reader of this repository expects are there, each leads to a script that is there, can be run and explains
# itself (--help), and each is run by a test, a check or continuous integration, by `make`, or by its script.
# Without FILE it also plants faults in copies of ours, each of which it must find.
# Usage: scripts/check-make.sh [FILE]
# Exit status: 0 all is well, 1 a fault.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

FILE=${1:-Makefile}
EXPECTED=(dev demo test coverage lint build docker-build docker-push k8s-deploy k8s-status k8s-logs-api terraform-init terraform-plan terraform-apply
  migrate-up migrate-down check-hpa check-dashboards check-alerts check-ops check-consumer)
# Run by people only: each says why.
declare -A BY_HAND=(
  [dev]="runs until it is stopped; the process is what examples/tests/process.rs starts"
  [coverage]="needs llvm-tools; a figure, not a check"
  [boards]="writes what check-dashboards compares"
  [check-ops]="is all of them"
  [check-make]="is this"
  [terraform-apply]="applied by scripts/terraform.sh check"
)

faults=0
fault() { printf 'Makefile: %s\n' "$*"; faults=$((faults + 1)); }
listed=$(make --no-print-directory --file "$FILE" help | awk '{ print $1 }')
phony=$(awk '/^\.PHONY:/ { inside = 1 } inside { more = sub(/\\$/, ""); for (i = 1; i <= NF; i++) if ($i != ".PHONY:") print $i; inside = more }' "$FILE")

for target in "${EXPECTED[@]}"; do grep -qx -- "$target" <<<"$phony" || fault "there is no $target"; done
while read -r target; do
  [ -n "$target" ] || continue
  grep -qx -- "$target" <<<"$listed" || fault "make help does not list $target"
  case $target in help) continue ;; esac
  command=$(make --no-print-directory --file "$FILE" --dry-run "$target" 2>/dev/null) || { fault "$target cannot be run"; continue; }
  script=$(grep -oE 'scripts/[a-z0-9-]+\.sh' <<<"$command" | head -n 1 || true)
  if [ -n "$script" ]; then
    [ -x "$script" ] || { fault "$target: $script is not there or cannot be run"; continue; }
    "$script" --help | grep -qi '^usage:' || fault "$target: $script --help does not say how it is used"
  fi
  [ -z "${BY_HAND[$target]:-}" ] || continue
  grep -rqE --exclude check-make.sh ${script:+--exclude "${script##*/}"} "make( [^ ]+)* $target( |\$|\`)|\"$target\"|images $target${script:+|${script//./\\.}}" .ci .github scripts/verify scripts/check-*.sh scripts/docker-check.sh scripts/test.sh testkit/tests examples/tests offgridflow-*/tests ||
    fault "$target: nothing runs it"
done <<<"$phony"
[ $faults -eq 0 ] || exit 1

planted=0
plant() { # what must be said, sed expression
  local copy
  copy=$(mktemp)
  sed -E "$2" Makefile >"$copy"
  if scripts/check-make.sh "$copy" >"$copy.said" || ! grep -q "$1" "$copy.said"; then printf 'not found: %s, planted by %s\n' "$1" "$2"; exit 1; fi
  rm -f "$copy" "$copy.said"
  planted=$((planted + 1))
}
if [ $# -eq 0 ]; then
  plant 'make help does not list demo' 's/^demo: ##.*/demo:/'
  plant 'build: scripts/made.sh is not there' 's#scripts/build.sh#scripts/made.sh#'
  plant 'there is no docker-push' 's/ docker-push / /'
  plant 'ghost: nothing runs it' 's/ check-ops / check-ops ghost /; $ a ghost: ## Nobody asks for it\n\t@true'
fi
printf '%d targets, all listed, all lead somewhere; %d are run by people only; %d planted faults are found\n' "$(wc -w <<<"$phony")" ${#BY_HAND[@]} $planted
