#!/usr/bin/env bash
# Imports a million activities into PostgreSQL and SQLite through the example server, and prints the rate beside `psql \copy` and
# `sqlite3 .import` of the very rows that it stored. Servers and files are its own. The server reads CSV, looks factors up, computes
# emissions and skips ids that are there; its rivals load finished rows.
# Usage: scripts/ingest.sh [ROWS]
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

rows=${1:-1000000}
[[ $rows =~ ^[1-9][0-9]*$ ]] || die "usage: scripts/ingest.sh [ROWS]"
for tool in psql sqlite3; do have $tool || die "missing: $tool"; done

target=${CARGO_TARGET_DIR:-target}
if [ -z "${INGEST_POSTGRES:-}" ]; then
  cargo build --release --quiet -p offgridflow
  cargo build --quiet -p testkit
  export INGEST_POSTGRES=started
  exec "$target/debug/testkit" run -- "$0" "$rows"
fi
url=$OFFGRIDFLOW_TESTKIT_POSTGRES
server=$target/release/offgridflow

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Twelve months, six categories, quantities without a pattern that helps an index; the same for the same number of rows.
awk -v rows="$rows" 'BEGIN {
  split("diesel petrol coal natural-gas electricity electricity", category, " ")
  split("GJ GJ GJ GJ kWh kWh", unit, " ")
  print "id,category,quantity,unit,period"
  for (n = 0; n < rows; n++) {
    kind = n % 6 + 1
    printf "meter-%05d-%07d,%s,%d.%03d,%s,2024-%02d\n", n % 20011, n, category[kind], (n * 7919) % 10007, (n * 31) % 1000, unit[kind], n % 12 + 1
  }
}' >"$work/activities.csv"

seconds() { # COMMAND…: its duration
  local began=$EPOCHREALTIME
  "$@" >"$work/out" 2>"$work/err" || { cat "$work/out" "$work/err" >&2; die "failed: $*"; }
  awk -v began="$began" -v ended="$EPOCHREALTIME" 'BEGIN { printf "%.3f", ended - began }'
}
say() { awk -v way="$1" -v took="$2" -v rows="$rows" 'BEGIN { printf "%-34s %8.2f s %9.0f rows/s\n", way, took, rows / took }'; }
import() { "$server" import "$work/activities.csv" --tenant acme --database-url "$1"; }
stored() { [ "$1" = "$rows" ] || die "$1 of $rows rows are stored"; }
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$url" "$@"; }

# Of all figures that follow, that of the importer includes the start of a process and the look at the schema.
export OFFGRIDFLOW_LOG=warn
"$server" migrate up --database-url "$url"
sql -c CHECKPOINT
ours=$(seconds import "$url")
stored "$(sql -c 'SELECT count(*) FROM activities')"
sql -c "\\copy activities TO '$work/rows.bin' (FORMAT binary)"
sql -c 'TRUNCATE activities' -c CHECKPOINT
theirs=$(seconds sql -c "\\copy activities FROM '$work/rows.bin' (FORMAT binary)")
stored "$(sql -c 'SELECT count(*) FROM activities')"
say 'PostgreSQL, offgridflow import' "$ours"
say 'PostgreSQL, psql \copy binary' "$theirs"

ours=$(seconds import "sqlite:$work/ours.db")
stored "$(sqlite3 "$work/ours.db" 'SELECT count(*) FROM activities')"
# In the order of the file, as the importer had them, and not sorted by key.
sqlite3 -csv "$work/ours.db" 'SELECT * FROM activities ORDER BY substr(id, 13)' >"$work/rows.csv"
"$server" migrate up --database-url "sqlite:$work/theirs.db"
pragmas='PRAGMA synchronous = full'
sqlite_import() { sqlite3 "$work/theirs.db" -cmd "$pragmas" -cmd '.mode csv' ".import $work/rows.csv activities"; }
theirs=$(seconds sqlite_import)
stored "$(sqlite3 "$work/theirs.db" 'SELECT count(*) FROM activities')"
say 'SQLite, offgridflow import' "$ours"
say 'SQLite, sqlite3 .import' "$theirs"
