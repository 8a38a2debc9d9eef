#!/usr/bin/env bash
# Finds a slow query in five minutes, from inside: starts the example server on PostgreSQL, drops an index by hand, and shows how the
# server flags the statement, tries what would help, and uses it once it is made. Prints what docs/slow-query.md shows.
# Usage: scripts/slow-query.sh [--server BINARY]
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

server=''
[ "${1:-}" = --server ] && server=$2
have psql || die "missing: psql (scripts/setup.sh installs it)"
if [ -z "${OFFGRIDFLOW_TESTKIT_POSTGRES:-}" ]; then
  cargo build --quiet -p testkit >&2
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  exec "$target/debug/testkit" run -- "$0" "$@"
fi
if [ -z "$server" ]; then
  step "building"
  cargo build --quiet -p offgridflow >&2
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  server=$target/debug/offgridflow
fi

folder=$(mktemp -d)
name=slow_query_$$
psql --quiet "$OFFGRIDFLOW_TESTKIT_POSTGRES" -c "CREATE DATABASE $name"
url=${OFFGRIDFLOW_TESTKIT_POSTGRES%/*}/$name
"$server" api --listen 127.0.0.1:0 --database-url "$url" >"$folder/listening" 2>"$folder/log" &
pid=$!
clean() {
  kill $pid 2>/dev/null || true
  wait $pid 2>/dev/null || true
  psql --quiet "$OFFGRIDFLOW_TESTKIT_POSTGRES" -c "DROP DATABASE IF EXISTS $name WITH (FORCE)" || true
  rm -rf "$folder"
}
trap clean EXIT
for _ in $(seq 300); do grep -q listening "$folder/listening" && break; kill -0 $pid || die "the server did not start: $(cat "$folder/log")"; sleep 0.1; done
base=$(sed 's/.*\(http.*\)/\1/' "$folder/listening")

pages() { for n in $(seq "$1"); do printf 'url = "%s/api/v1/activities?limit=5&after=a%05d"\noutput = "/dev/null"\n' "$base" $((n * 37 % 50000)); done | curl --silent --fail --config -; }
insight() { curl --silent --fail "$base/api/v1/insight?format=text$1"; }
# Asks until the answer holds a text, ten pages between two looks.
until_it_says() { # text, query
  for _ in $(seq 30); do
    said=$(insight "$2")
    [[ $said == *"$1"* ]] && return
    pages 10
    sleep 0.2
  done
  die "the server does not say \`$1\`: $said"
}
captured() { curl --silent --fail "$base/api/v1/insight?format=json" | grep -q "$1"; }

step "50 000 activities"
awk 'BEGIN { print "id,category,quantity,unit,period"; for (n = 0; n < 50000; n++) printf "a%05d,electricity,%d,kWh,2024-%02d\n", n, 1 + n % 900, 1 + n % 12 }' \
  | curl --silent --show-error --fail -H 'content-type: text/csv' --data-binary @- "$base/api/v1/activities"
echo
psql --quiet "$url" -c 'ANALYZE activities'

step "pages of them, as users read them"
pages 80
for _ in $(seq 50); do captured activities_pkey && break; pages 5; sleep 0.2; done
captured activities_pkey || die "no plan was captured"
insight '' | grep -E '^ +calls|from activities where' | cut -c1-150

step "somebody drops the index"
psql --quiet "$url" -c 'ALTER TABLE activities DROP CONSTRAINT activities_pkey' -c 'ALTER TABLE activities ALTER id DROP NOT NULL'
pages 30
until_it_says 'slower with a new plan' ''
printf '%s\n' "$said" | sed -n '/^slower with a new plan/,/^$/p'

step "what would help?"
until_it_says 'CREATE INDEX CONCURRENTLY' '&advise=true'
printf '%s\n' "$said" | grep -A4 '^advice for' | cut -c1-150

step "making the first of them"
statement=$(printf '%s\n' "$said" | sed -n 's/.*cheaper with: \(CREATE INDEX CONCURRENTLY .*\)/\1/p' | head -n 1)
[ -n "$statement" ] || die "nothing helps: $said"
psql --quiet "$url" -c "$statement" -c 'ANALYZE activities'
echo "$statement"
for _ in $(seq 80); do captured activities_tenant_id_idx && break; pages 10; sleep 0.2; done
captured activities_tenant_id_idx || die "the new index is not used: $(insight '')"
echo "the statement's plan now uses activities_tenant_id_idx"
