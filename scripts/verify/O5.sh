#!/usr/bin/env bash
# O5: what api, worker and web export passes `promtool check metrics`, and the series of each family stay within infra/prometheus/budgets.txt after 100 000 requests
# with random paths to the api (quick: 10 000 to the others), invented methods among them.
# Controls: the api told to count requests under their paths (`--faults`), a family without a budget, and metrics that promtool refuses: each must be found
# and named.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

have promtool || may_install || { echo "SKIP measured=none missing: prometheus"; exit 0; }
have promtool || need_packages prometheus >&2
if [ -z "${OFFGRIDFLOW_TESTKIT_POSTGRES:-}" ]; then
  scripts/setup.sh >&2
  cargo build --quiet -p offgridflow -p testkit >&2
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  O5_BIN=$target/debug/offgridflow exec "$target/debug/testkit" run -- scripts/verify/O5.sh
fi

measured=none
work=$(mktemp -d)
declare -A pid url
stop() { local name; for name in "${!pid[@]}"; do kill "${pid[$name]}" 2>/dev/null || true; done; wait; rm -rf "$work"; }
trap stop EXIT
source scripts/verify/faults.sh

start() { # name, argument …
  : >"$work/$1" # there before it is read
  "$O5_BIN" "${@:2}" --listen 127.0.0.1:0 >"$work/$1" 2>"$work/$1.err" &
  pid[$1]=$!
  for _ in $(seq 300); do
    url[$1]=$(sed -n 's/^listening on //p' "$work/$1")
    [ -z "${url[$1]}" ] || return 0
    kill -0 "${pid[$1]}" 2>/dev/null || break
    sleep 0.1
  done
  cat "$work/$1.err" >&2
  fail "$1 did not start"
}

# So many requests with paths that nobody asked for before, one in a hundred with a method that nobody knows; over kept connections.
ask() { # url, requests, seed
  awk -v base="$1" -v n="$2" -v seed="$3" '
    function word(  w, i) { w = ""; for (i = 0; i < 8; i++) w = w substr("abcdefghijklmnopqrstuvwxyz0123456789", int(rand() * 36) + 1, 1); return w }
    BEGIN { srand(seed)
      for (i = 0; i < n; i++) {
        kind = i % 5
        if (kind == 0) path = "/" word()
        if (kind == 1) path = "/api/v1/factors/" word()
        if (kind == 2) path = "/api/v1/" word() "/" word() "?" word() "=" word()
        if (kind == 3) path = "/debug/pprof/" word()
        if (kind == 4) path = "/api/v1/emissions?by=" word()
        printf "url = \"%s%s\"\noutput = /dev/null\n", base, path
        if (i % 100 == 0) printf "request = \"%s\"\n", toupper(word())
        if ((i % 100 == 0 || i % 100 == 99) && i < n - 1) print "next"
      } }' >"$work/paths"
  curl --silent --config "$work/paths" || true
}

database=(--database-url "$OFFGRIDFLOW_TESTKIT_POSTGRES" --redis-url "redis://$OFFGRIDFLOW_TESTKIT_REDIS" --probe-secs 1)
start api api --faults "${database[@]}"
start worker worker "${database[@]}"
start web web --api-url "${url[api]}"
others=10000
[ "${VERIFY_SIZE:-quick}" = quick ] || others=100000
ask "${url[api]}" 100000 1
ask "${url[worker]}" $others 2
ask "${url[web]}" $others 3
asked=$(curl --silent "${url[api]}/metrics" | awk '/^http_server_request_duration_seconds_count/ { sum += $2 } END { print sum + 0 }')
[ "$asked" -ge 100000 ] || fail "the api counted only $asked requests"
said=$(scripts/check-series.sh api="${url[api]}" worker="${url[worker]}" web="${url[web]}") || { printf '%s\n' "$said" >&2; fail "$(tail -n 1 <<<"$said")"; }
measured=$(awk '{ sum += $2 } END { print sum }' <<<"$said")-series-after-$asked-requests

# Controls.
curl --silent --fail --request POST "${url[api]}/debug/faults/labels" || fail "no label explosion could be planted"
ask "${url[api]}" 3000 4
named '^api: http_server_request_duration_seconds: [0-9]+ series, [0-9]+ are allowed' scripts/check-series.sh api="${url[api]}"

planted '^web: process_threads: has no budget' infra/prometheus/budgets.txt '/^process_threads /d' "$work/copy/scripts/check-series.sh" web="${url[web]}"
mkdir "$work/bad"
printf '# TYPE requests_count gauge\nrequests_count 1\n' >"$work/bad/metrics"
named '^bad: promtool refuses its metrics' scripts/check-series.sh bad="file://$work/bad"

echo "PASS measured=$measured control=$found planted faults found and named n=$asked $(tr '\n' ';' <<<"$said")"
