#!/usr/bin/env bash
# Builds the images of the three roles from one static executable: REGISTRY/offgridflow/api:TAG, worker and web. Prints each with its id; the same
# executable gives the same ids (with buildah; docker keeps the time in them).
# Usage: ENGINE=docker|buildah REGISTRY=… TAG=… scripts/docker-build.sh
#   ENGINE  docker (the default, needs its daemon) or buildah (a Debian package, installed when root)
#   OFFGRIDFLOW_STATIC is the executable; by default scripts/build.sh makes it.
# Exit status: 0 built, 1 the engine refused, 2 usage, 4 a tool is missing.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"
source scripts/docker-common.sh

choose_images
binary=${OFFGRIDFLOW_STATIC:-$(scripts/build.sh)}
context=$PWD/target/images/context
rm -rf "$context"
mkdir -p "$context"
install -m 0555 "$binary" "$context/offgridflow"
scripts/docker-sbom.sh >"$context/sbom.cdx.json"
version=$(awk '/^\[workspace.package\]/ { inside = 1 } inside && /^version = / { gsub(/"/, "", $3); print $3; exit }' Cargo.toml)
about=(--build-arg "VERSION=$version" --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)")

build() { # role
  local name id
  name=$(image "$1")
  case $ENGINE in
    buildah)
      run_buildah bud --quiet --isolation chroot --timestamp 0 --target "$1" "${about[@]}" --tag "$name" --file infra/images/Containerfile "$context" >"$context.id" ||
        { printf '%s cannot be built\n' "$name" >&2; exit 1; }
      id=$(cat "$context.id")
      ;;
    docker)
      docker build --quiet --target "$1" "${about[@]}" --tag "$name" --file infra/images/Containerfile "$context" >"$context.id" ||
        { printf '%s cannot be built\n' "$name" >&2; exit 1; }
      id=$(sed 's/^sha256://' "$context.id")
      ;;
  esac
  printf '%s %s\n' "$name" "$id"
}
for role in "${ROLES[@]}"; do build "$role"; done
