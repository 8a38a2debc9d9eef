#!/usr/bin/env bash
# Brings a database's schema up to date; does nothing where it is. Each version is a transaction: one that fails leaves what was before it.
# Usage: OFFGRIDFLOW_DATABASE_URL=postgres://… scripts/migrate-up.sh
#   OFFGRIDFLOW_BIN is the server's executable; by default it is built.
# Exit status: 0 up to date, 2 usage, 4 the database cannot be reached or refuses.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

[ -n "${OFFGRIDFLOW_DATABASE_URL:-}" ] || { printf 'say which database: OFFGRIDFLOW_DATABASE_URL=sqlite:FILE or postgres://…\n' >&2; exit 2; }
if [ -n "${OFFGRIDFLOW_BIN:-}" ]; then exec "$OFFGRIDFLOW_BIN" migrate up; fi
exec cargo run --quiet -p offgridflow -- migrate up
