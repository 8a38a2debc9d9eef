#!/usr/bin/env bash
# Takes a database's schema away: EVERY TABLE of the server, and what is in it.
# Usage: OFFGRIDFLOW_DATABASE_URL=postgres://… YES=drop-every-table scripts/migrate-down.sh
#   OFFGRIDFLOW_BIN is the server's executable; by default it is built.
# Exit status: 0 gone, 2 usage, 4 the database cannot be reached or refuses.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

[ -n "${OFFGRIDFLOW_DATABASE_URL:-}" ] || { printf 'say which database: OFFGRIDFLOW_DATABASE_URL=sqlite:FILE or postgres://…\n' >&2; exit 2; }
[ "${YES:-}" = drop-every-table ] || { printf 'this drops every table of the server, with all activities; if that is meant: YES=drop-every-table\n' >&2; exit 2; }
if [ -n "${OFFGRIDFLOW_BIN:-}" ]; then exec "$OFFGRIDFLOW_BIN" migrate down; fi
exec cargo run --quiet -p offgridflow -- migrate down
