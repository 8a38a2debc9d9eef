#!/usr/bin/env bash
# Pushes the images of the three roles, and prints each with its digest. A registry on loopback is spoken to without TLS, no other is.
# Usage: ENGINE=docker|buildah REGISTRY=… TAG=… scripts/docker-push.sh
# Exit status: 0 pushed, 1 an image is not there or the registry did not take it, 2 usage, 4 a tool is missing.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"
source scripts/docker-common.sh

choose_images
tls=true
[[ $REGISTRY =~ ^(127\.0\.0\.1|localhost)(:|/|$) ]] && tls=false
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stop() { tail -n 3 "$work/said" >&2; printf '%s\n' "$*" >&2; exit 1; }

push() { # image
  case $ENGINE in
    buildah)
      run_buildah inspect --type image "$1" >"$work/said" 2>&1 || stop "$1 is not there: make docker-build first"
      run_buildah push --quiet --retry 1 --tls-verify=$tls --digestfile "$work/digest" "$1" "docker://$1" >"$work/said" 2>&1 || stop "$1 was not pushed: the registry does not answer, or does not take it"
      ;;
    docker)
      docker image inspect "$1" >"$work/said" 2>&1 || stop "$1 is not there: make docker-build first"
      docker push "$1" >"$work/said" 2>&1 || stop "$1 was not pushed: the registry does not answer, or does not take it"
      sed -n 's/.*digest: \(sha256:[0-9a-f]*\).*/\1/p' "$work/said" >"$work/digest"
      ;;
  esac
  printf '%s %s\n' "$1" "$(cat "$work/digest")"
}
for role in "${ROLES[@]}"; do push "$(image "$role")"; done
