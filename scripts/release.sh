#!/usr/bin/env bash
# Goes through what a release needs, and with --dry-run changes nothing: versions agree, each changelog has something to tell, the public interfaces suit the version
# (cargo-semver-checks, against the newest tag), each crate is packaged from what git has, its list of parts can be made; then it says which tag it would set and in which order
# it would publish.
# Usage: scripts/release.sh [--dry-run] VERSION
# Without --dry-run it sets the tag, where the tree is clean; publishing and pushing stay with people, who get the commands.
# Exit status: 0 ready, 1 something is in the way, 2 usage.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

dry=no
[ "${1:-}" != --dry-run ] || { dry=yes; shift; }
version=${1:-}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[a-z0-9.]+)?$ ]] || { printf 'usage: scripts/release.sh [--dry-run] VERSION, such as 0.1.0\n' >&2; exit 2; }

faults=0
fault() { printf 'in the way: %s\n' "$*"; faults=$((faults + 1)); }

step "versions"
stated=$(awk '/^\[workspace.package\]/ { inside = 1 } inside && /^version = / { gsub(/"/, "", $3); print $3; exit }' Cargo.toml)
[ "$stated" = "$version" ] || fault "Cargo.toml says version $stated"
for name in "${CRATES[@]}"; do
  grep -q "^offgridflow-$name = .*version = \"$version\"" Cargo.toml || fault "Cargo.toml: offgridflow-$name is not depended on as $version"
done
! git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null || fault "there is a tag v$version already"

step "changelogs"
for name in "${CRATES[@]}"; do
  awk -v version="$version" '
    /^## / { inside = ($2 == "Unreleased" || index($2, version)) }
    inside && /^- / { told++ }
    END { exit !told }' "offgridflow-$name/CHANGELOG.md" || fault "offgridflow-$name/CHANGELOG.md tells nothing under Unreleased or $version"
done

step "public interfaces"
before=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
if [ -z "$before" ]; then
  printf 'SKIP: no tag before this one, so there is no interface that could break\n'
elif ! cargo semver-checks --version >/dev/null 2>&1; then
  printf 'SKIP: missing: cargo-semver-checks, so NOBODY COMPARED THE INTERFACES with %s\n' "$before"
else
  for name in "${CRATES[@]}"; do
    cargo semver-checks --package "offgridflow-$name" --baseline-rev "$before" || fault "offgridflow-$name: the interface does not suit version $version"
  done
fi

step "packages"
dirty=()
[ $dry = no ] || dirty=(--allow-dirty)
for name in "${CRATES[@]}"; do
  cargo package --quiet --no-verify "${dirty[@]}" -p "offgridflow-$name" || fault "offgridflow-$name cannot be packaged"
done

step "parts"
scripts/docker-sbom.sh | grep -c '"type": "library"' | sed 's/$/ parts in the server/' || fault "the list of parts cannot be made"

if [ $dry = no ] && [ -n "$(git status --porcelain)" ]; then fault "there are changes that are not committed"; fi
if [ $faults -gt 0 ]; then
  printf '%d things are in the way of %s\n' $faults "$version"
  exit 1
fi
if [ $dry = yes ]; then printf 'ready: would tag %s as v%s\n' "$(git rev-parse --short HEAD)" "$version"; else git tag -a "v$version" -m "OffGridFlow $version"; fi
printf 'then, by hand:\n  git push origin v%s\n' "$version"
printf '  cargo publish -p offgridflow-%s\n' "${CRATES[@]}"
