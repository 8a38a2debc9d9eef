#!/usr/bin/env bash
# Holds every dependency to deny.toml by cargo-deny: licences, sources, what must not come in; and known vulnerabilities, for which it fetches a database.
# Usage: scripts/check-policy.sh [--install]
#   --install  builds cargo-deny into target/tools where it is missing (minutes); without it a missing one is said, and nothing is looked at
# Exit status: 0 all is well, or cargo-deny is missing; 1 a fault.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

VERSION=0.20.2
deny=$(command -v cargo-deny || echo "$PWD/target/tools/bin/cargo-deny")
if [ ! -x "$deny" ]; then
  [ "${1:-}" = --install ] || { printf 'SKIP: missing: cargo-deny, so NO DEPENDENCY WAS LOOKED AT; --install builds it\n'; exit 0; }
  step "building cargo-deny $VERSION"
  cargo install --quiet --locked "cargo-deny@$VERSION" --root target/tools
fi
"$deny" --log-level error check bans licenses sources || exit 1
if "$deny" --log-level error fetch db >/dev/null 2>&1; then
  "$deny" --log-level error check --disable-fetch advisories || exit 1
else
  printf 'SKIP: the database of vulnerabilities cannot be fetched, so NO VULNERABILITY WAS LOOKED FOR\n'
fi
