#!/usr/bin/env bash
# O6: three images, of which each holds nothing but its static executable, are built twice with the same ids, pushed to a registry, and run from what was pushed, as uid
# 65532 in an empty root, each in its own role and well by its own health command. Measured by `scripts/docker-check.sh`.
# Controls: planted in a copy, each of which that script must find: an image with another's role, one that runs as root, one with something beside the executable, one that
# says when it was built.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

[ "$(id -u)" -eq 0 ] || { echo "SKIP measured=none missing: the right to chroot"; exit 0; }
have buildah && have docker-registry || may_install || { echo "SKIP measured=none missing: buildah, docker-registry"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
measured=none
fail() { echo "FAIL measured=$measured $*"; exit 0; }

OFFGRIDFLOW_STATIC=${OFFGRIDFLOW_STATIC:-$(scripts/build.sh)}
export OFFGRIDFLOW_STATIC
said=$(scripts/docker-check.sh 2>"$work/err") || { printf '%s\n' "$said" >&2; cat "$work/err" >&2; fail "$(tail -n 1 <<<"$said")"; }
measured=3-images

if [ -z "${OFFGRIDFLOW_TESTKIT_POSTGRES:-}" ]; then
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  servers=("$target/debug/testkit" run --)
fi
found=0
planted() { # what must be said, file, sed expression
  local status=0
  rm -rf "$work/copy"
  mkdir "$work/copy"
  cp -r infra scripts Makefile Cargo.toml "$work/copy"
  # The parts list needs the sources; the one that was made is the same.
  printf '#!/bin/sh\ncat %s/target/images/context/sbom.cdx.json\n' "$PWD" >"$work/copy/scripts/docker-sbom.sh"
  sed -i -E "$3" "$work/copy/$2"
  cmp -s "$2" "$work/copy/$2" && fail "nothing was planted in $2: $3"
  "${servers[@]}" "$work/copy/scripts/docker-check.sh" >"$work/found" 2>&1 || status=$?
  if [ $status -ne 1 ] || ! grep -qE "$1" "$work/found"; then
    cat "$work/found" >&2
    fail "exit $status, not named: $1"
  fi
  found=$((found + 1))
}
planted '^worker: what runs in it is the role api' infra/images/Containerfile 's/CMD \["worker"\]/CMD ["api"]/'
planted '^web: its user is 0' infra/images/Containerfile 's/^FROM base AS web/&\nUSER 0/'
planted '^api: there is more than the executable' infra/images/Containerfile 's/^FROM base AS api/&\nCOPY sbom.cdx.json \/another/'
planted '^a second build of the same gives other ids' scripts/docker-build.sh 's/--timestamp 0 //'

echo "PASS measured=$measured control=$found planted faults found n=3 $(tail -n 1 <<<"$said")"
