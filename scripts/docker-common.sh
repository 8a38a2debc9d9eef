# shellcheck shell=bash
# Sourced by scripts/docker-*.sh: which engine, and what images are called.

# shellcheck disable=SC2034 # used by those that source this
ROLES=(api worker web)
ENGINE=${ENGINE:-docker}
REGISTRY=${REGISTRY:-}
TAG=${TAG:-}

usage() { printf '%s\n' "$*" >&2; exit 2; }

choose_images() {
  case $ENGINE in
    docker) have docker || die "missing: docker; ENGINE=buildah needs no daemon" ;;
    buildah) have buildah || need_packages buildah ;;
    *) usage "ENGINE=$ENGINE: docker or buildah" ;;
  esac
  [[ $REGISTRY =~ ^[a-z0-9.:/-]+[a-z0-9]$ ]] || usage "REGISTRY=${REGISTRY:-(none)}: where the images go, such as registry.example/team"
  [[ $TAG =~ ^[a-z0-9]([a-z0-9.-]{0,46}[a-z0-9])?$ ]] || usage "TAG=${TAG:-(none)}: up to 48 lower case letters, digits, dots and dashes, as for make k8s-deploy"
  [ "$TAG" != latest ] || usage "TAG=latest names no release"
}

image() { printf '%s/offgridflow/%s:%s\n' "$REGISTRY" "$1" "$TAG"; } # role

# Storage of our own below target/: nobody else's images are touched, and no kernel driver is needed.
run_buildah() {
  local storage=${IMAGES_STORAGE:-$PWD/target/images/storage}
  buildah --root "$storage" --runroot "$storage/run" --storage-driver vfs "$@"
}
