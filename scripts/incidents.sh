#!/usr/bin/env bash
# Starts the example server, makes it burn CPU time, pile up tasks and leak, one after the other, and checks that each is caught, that
# the right place is named first, and that its page shows it. Takes about four minutes.
# Usage: scripts/incidents.sh [--out FOLDER]
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

out=target/incidents
[ "${1:-}" = --out ] && out=$2
rm -rf "$out"
mkdir -p "$out"
step "building"
cargo build --quiet -p offgridflow
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

step "starting"
"$target/debug/offgridflow" api --listen 127.0.0.1:0 --database-url "sqlite:$out/server.db" --incidents "$out/pages" \
  --leak-window-secs 30 --busy-cores 0.25 --faults >"$out/listening" 2>"$out/log" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT
for _ in $(seq 100); do grep -q listening "$out/listening" && break; kill -0 $server || die "the server did not start: see $out/log"; sleep 0.1; done
base=$(sed 's/.*\(http.*\)/\1/' "$out/listening")

fault() { curl --silent --show-error --fail --request POST "$base/debug/faults/$1"; }
# Waits for the page of a kind, and checks that the first suspect is the right one.
caught() { # kind, name, seconds
  local page=''
  for _ in $(seq "$3"); do
    page=$(find "$out/pages" -name "*-$1.html" | head -n 1)
    [ -n "$page" ] && break
    sleep 1
  done
  [ -n "$page" ] || die "no incident of kind $1 within $3 s: $(curl --silent "$base/debug/pprof/health")"
  first=$(sed 's/.*Who may be to blame//; s/<\/tr>/\n/g' "$page" | sed -n '2s/.*<tr><td>\([^<]*\)<.*/\1/p')
  [[ $first == *"$2"* ]] || die "$1: the first suspect is \`$first\`, not $2: $page"
  id=$(basename "$page" .html)
  curl --silent --fail "$base/debug/pprof/incidents/$id" | grep -q "$2" || die "$1: the server does not serve $id"
  printf '%-6s caught, %s named first: %s\n' "$1" "$first" "$page"
}

step "a CPU regression"
sleep 25 # windows from before
fault cpu
caught cpu checksum_again 180
fault end
step "tasks that pile up"
fault tasks
caught tasks export 60
fault end
step "a leak"
fault leak
caught leak keep_receipt 330 # short windows see little each: four or more must agree
fault end
step "ending"
kill -TERM $server
wait $server || die "the server did not end well: see $out/log"
trap - EXIT
