#!/usr/bin/env bash
# Installs what the tests need and the machine lacks: PostgreSQL, pgbouncer, Redis (Debian packages, when root); says so otherwise.
# And a browser to try pages in, where one can be had: without it those tests say that they tried nothing.
# Usage: scripts/setup.sh
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

missing=()
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || have postgres || missing+=(postgresql)
have psql || missing+=(postgresql-client)
have redis-server || missing+=(redis-server)
have pgbouncer || [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
have cc || missing+=(gcc libc6-dev)
need_packages "${missing[@]}"
# HypoPG beside Debian's server: advice for tables that are too large to be indexed for a trial is tried with it.
for server in /usr/lib/postgresql/*/; do
  version=$(basename "$server")
  [ ! -x "$server/bin/postgres" ] || [ -e "/usr/share/postgresql/$version/extension/hypopg.control" ] || ! may_install ||
    need_packages "postgresql-$version-hypopg" || printf 'HypoPG could not be installed\n' >&2
done

[ -z "${OFFGRIDFLOW_BROWSER:-}" ] || exit 0
for browser in chromium-headless-shell chromium chromium-browser google-chrome chrome; do
  have $browser && exit 0
done
may_install || exit 0
need_packages chromium-headless-shell || printf 'no browser could be installed\n' >&2
