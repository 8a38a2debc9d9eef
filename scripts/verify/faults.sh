# shellcheck shell=bash
# Sourced by the promises of operations (O3, O4, O5): faults planted in a copy, each of which a check must find and name. `work` is a folder to work in, `measured`
# what was measured so far; `found` counts.
found=0
fail() { echo "FAIL measured=${measured:?} $*"; exit 0; }

# A copy to break: the files that are checked, and links to the sources. Nothing is built there.
fresh() {
  rm -rf "${work:?}/copy"
  mkdir -p "$work/copy/docs"
  cp -r infra scripts "$work/copy"
  cp -r docs/runbook "$work/copy/docs"
  ln -s "$PWD"/offgridflow-* "$PWD/examples" "$work/copy"
}

plant() { # file, sed expression
  sed -i -E "$2" "$work/copy/$1"
  cmp -s "$1" "$work/copy/$1" && fail "nothing was planted in $1: $2"
  return 0
}

named() { # what must be said, command …
  local status=0
  "${@:2}" >"$work/found" 2>&1 || status=$?
  if [ "$status" -ne 1 ] || ! grep -qE "$1" "$work/found"; then
    cat "$work/found" >&2
    fail "exit $status, not named: $1"
  fi
  found=$((found + 1))
}

planted() { # what must be said, file, sed expression, command …
  fresh
  plant "$2" "$3"
  named "$1" "${@:4}"
}
