#!/usr/bin/env bash
# Holds the dependency promises against cargo's own tree:
#   the five crates do not depend on each other; foreign engines come only with their feature;
#   cache, profile and loadtest need neither a C compiler nor OpenSSL by default;
#   each stated rust-version is at least what the dependencies state; `full` names every feature.
# Usage: scripts/check-dependencies.sh
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

faults=0
fault() { printf 'dependency promise broken: %s\n' "$*" >&2; faults=$((faults + 1)); }
tree_of() { cargo tree --quiet --prefix none --format '{p}' --edges normal,build "$@" | awk '{ print $1 }' | sort -u; }
refuse() { # crate, what, tree, names
  local crate=$1 what=$2 tree=$3 name
  shift 3
  for name in "$@"; do
    grep -qx -- "$name" <<<"$tree" && fault "$crate, $what, brings in $name"
  done
  return 0
}

engines=(moka quick_cache fred sqlx sqlx-core pprof sysinfo hyper criterion tokio-postgres)
for name in "${CRATES[@]}"; do
  crate=offgridflow-$name
  bare=$(tree_of -p "$crate" --no-default-features)
  default=$(tree_of -p "$crate")
  full=$(tree_of -p "$crate" --features full --edges normal,build,dev)
  for other in "${CRATES[@]}"; do
    [ "$other" = "$name" ] || refuse "$crate" "with all features" "$full" "offgridflow-$other"
  done
  refuse "$crate" "without default features" "$bare" "${engines[@]}"
  refuse "$crate" "with all features" "$full" openssl-sys native-tls
  case $name in cache | profile | loadtest) refuse "$crate" "by default" "$default" cc cmake ring aws-lc-sys openssl-sys libsqlite3-sys zstd-sys ;; esac
  for feature in $(scripts/features.sh "$crate"); do
    [ "$feature" = full ] && continue
    # What needs more than Rust to build says so on the line before it.
    grep -B 1 "^$feature *=" "$crate/Cargo.toml" | grep -q '^##.*not in .full' && continue
    awk '/^full *=/,/\]/' "$crate/Cargo.toml" | grep -q "\"$feature\"" || fault "$crate: feature full leaves out $feature"
  done
done

# Highest rust-version among the normal dependencies of a crate.
needed() {
  cargo tree --quiet --prefix none --format '{p}' --edges normal -p "$1" --features full | grep -v '^offgridflow-' | awk '{ print $1 "@" substr($2, 2) }' | sort -u |
    grep -Fxf - <(rust_versions | cut -d' ' -f1) | while read -r package; do rust_versions | awk -v p="$package" '$1 == p { print $2 }'; done | sort -V | tail -n 1
}
rust_versions() {
  [ -s "$versions" ] || cargo metadata --format-version 1 | tr '{' '\n' |
    sed -n 's/^"name":"\([^"]*\)","version":"\([^"]*\)".*/\1@\2/p;s/.*"rust_version":"\([^"]*\)".*/ \1/p' |
    awk '/^ / { if (name != "") print name $0; name = ""; next } { name = $0 }' >"$versions"
  cat "$versions"
}
versions=$(mktemp)
trap 'rm -f "$versions"' EXIT
for name in "${CRATES[@]}"; do
  crate=offgridflow-$name
  stated=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$crate/Cargo.toml")
  most=$(needed "$crate")
  [ "$(printf '%s\n%s\n' "$stated" "$most" | sort -V | tail -n 1)" = "$stated" ] ||
    [ "${stated}.0" = "$most" ] || fault "$crate states rust-version ${stated:-none}, its dependencies need $most"
done

[ "$faults" -eq 0 ] || exit 1
