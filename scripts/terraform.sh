#!/usr/bin/env bash
# Terraform of infra/terraform. `layout` (names, addresses, sizes) needs no provider, and is applied anywhere; `aws` builds it, and needs its provider, credentials and
# a place for its state.
# Usage: scripts/terraform.sh init|plan|apply ENVIRONMENT [STACK] [OPTION OF TERRAFORM …]
#        scripts/terraform.sh check
#   ENVIRONMENT  staging or production
#   STACK        layout (the default) or aws
#   check        formats all of it, applies and tests the layout in a folder of its own, a second plan of which must change nothing, and accounts for every variable of
#                every module; of aws that is all, since without its provider nothing else can be said
# Exit status: 0 done, 1 terraform refused or check found a fault, 2 usage, 4 terraform is missing.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

ROOT=infra/terraform
usage() { printf '%s\n' "$*" "usage: scripts/terraform.sh init|plan|apply ENVIRONMENT [layout|aws] [OPTION …]" >&2; exit 2; }
have terraform || die "missing: terraform. Install it: https://developer.hashicorp.com/terraform/install"
export TF_IN_AUTOMATION=1 TF_INPUT=0 CHECKPOINT_DISABLE=1

# State and plugins stay out of the sources.
stack() { # environment, stack, command …
  local environment=$1 stack=$2 command=$3 folder=${TERRAFORM_STATE:-$PWD/target/terraform}/$1-$2 options=()
  shift 3
  mkdir -p "$folder"
  export TF_DATA_DIR=$folder/data
  [ "$command" = init ] || options+=("-var=environment=$environment")
  [ "$stack" != layout ] || [ "$command" = init ] || options+=("-state=$folder/terraform.tfstate")
  [ "$command" != apply ] || [ "$stack" != layout ] || options+=(-auto-approve)
  terraform -chdir="$ROOT/$stack" "$command" -no-color "${options[@]}" "$@"
}

# Every variable that a module uses is one that it declares, every one that it declares is used, and whoever calls a module of ours gives what has no default, and nothing else.
account() { # folder
  local files
  mapfile -t files < <(find "$1" -name '*.tf' | sort)
  awk '
    FNR == 1 { folder = FILENAME; sub(/\/[^\/]*$/, "", folder); kind = ""; folders[folder] }
    /^variable "/ { gsub(/"/, "", $2); name = $2; kind = "variable"; declared[folder, name] = FILENAME ":" FNR; wanted[folder, name] = 1; next }
    /^module "/ { gsub(/"/, "", $2); name = $2; kind = "module"; calls[++count] = folder; called[count] = name; at[count] = FILENAME ":" FNR; next }
    /^[a-z]/ { kind = "other" }
    kind == "variable" && /^ *default *=/ { delete wanted[folder, name] }
    kind == "module" && /^ *source *=/ { gsub(/"/, "", $3); source[count] = $3; next }
    kind == "module" && /^  [a-z]+ *=/ { given[count, $1] }
    {
      line = $0
      while (match(line, /(^|[^a-z_.])var\.[a-z_]+/)) {
        variable = substr(line, RSTART, RLENGTH); sub(/.*var\./, "", variable)
        used[folder, variable] = FILENAME ":" FNR
        line = substr(line, RSTART + RLENGTH)
      }
    }
    END {
      for (id in used) if (!(id in declared)) { split(id, of, SUBSEP); print used[id] ": var." of[2] " is used and not declared" }
      for (id in declared) if (!(id in used)) { split(id, of, SUBSEP); print declared[id] ": variable " of[2] " is declared and not used" }
      for (i = 1; i <= count; i++) {
        target = calls[i] "/" source[i]
        while (sub(/\/[^\/.]+\/\.\.\//, "/", target)) {}
        if (!(target in folders)) { print at[i] ": module " called[i] ": there is no " target; continue }
        for (id in wanted) { split(id, of, SUBSEP); if (of[1] == target && !((i, of[2]) in given)) print at[i] ": module " called[i] " is not given " of[2] }
        for (id in given) { split(id, of, SUBSEP); if (of[1] == i && !((target, of[2]) in declared)) print at[i] ": module " called[i] " is given " of[2] ", which it does not have" }
      }
    }' "${files[@]}"
}

# The control: what is broken in a copy is named.
planted=0
plant() { # what must be said, file, sed expression
  rm -rf "$scratch/copy"
  cp -r $ROOT "$scratch/copy"
  sed -i -E "$3" "$scratch/copy/$2"
  account "$scratch/copy" | grep -q "$1" || { printf '%s: not found: %s, planted by %s\n' "$2" "$1" "$3"; exit 1; }
  planted=$((planted + 1))
}

check() {
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  step "format, which parses"
  terraform fmt -check -recursive $ROOT || die "$ROOT: terraform fmt -recursive $ROOT"
  step "variables"
  account $ROOT | tee "$scratch/faults"
  [ ! -s "$scratch/faults" ] || exit 1
  plant 'module cache is not given size' aws/main.tf '/sizes.cache/d'
  plant 'module registry is given names, which it does not have' aws/main.tf 's/^  repositories = .*/&\n  names = []/'
  plant 'var.class is used and not declared' modules/database/main.tf 's/var.size/var.class/'
  plant 'variable size is declared and not used' modules/cache/main.tf 's/var.size/"small"/'
  plant 'there is no .*modules/net' aws/main.tf 's#/network"#/net"#'
  step "layout: tests, and applied"
  export TERRAFORM_STATE=$scratch
  local environment
  for environment in staging production; do
    stack $environment layout init >"$scratch/said" 2>&1 || { cat "$scratch/said"; exit 1; }
    stack $environment layout apply >"$scratch/said" 2>&1 || { cat "$scratch/said"; exit 1; }
    grep -q '^Apply complete! Resources: 1 added' "$scratch/said" || { cat "$scratch/said"; exit 1; }
    stack $environment layout plan -detailed-exitcode >"$scratch/said" 2>&1 || { cat "$scratch/said"; printf '%s: a second plan changes something\n' "$environment"; exit 1; }
  done
  terraform -chdir=$ROOT/layout validate -no-color >"$scratch/said" || { cat "$scratch/said"; exit 1; }
  terraform -chdir=$ROOT/layout test -no-color >"$scratch/said" 2>&1 || { cat "$scratch/said"; exit 1; }
  tail -n 1 "$scratch/said"
  printf 'layout: applied for both environments, a second plan changes nothing; aws and its modules: formatted, parsed, variables accounted for (%d planted faults found), never planned\n' $planted
}

case ${1:-} in
  check) check ;;
  init | plan | apply)
    command=$1 environment=${2:-}
    case $environment in staging | production) ;; *) usage "ENV=${environment:-(none)}: staging or production" ;; esac
    shift 2
    case ${1:-layout} in layout | aws) chosen=${1:-layout} ;; *) usage "STACK=$1: layout or aws" ;; esac
    [ $# -eq 0 ] || shift
    stack "$environment" "$chosen" "$command" "$@"
    ;;
  *) usage "${1:-nothing}: what is to be done?" ;;
esac
