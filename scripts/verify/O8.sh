#!/usr/bin/env bash
# O8: what `scripts/load-test.sh` reports is what happened. A server that keeps a book of its own answers as slowly as chance says (20 ms in the median, with a long tail) and refuses 3 %; the report's p95 and its
# share of failures are compared with the book, exactly, over the same requests.
# Controls: a server that is down, of which no figure may be reported; and planted in a copy of the script, each of which this must find: the report of an earlier run, failures left out.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

have python3 || { echo "SKIP measured=none missing: python3"; exit 0; }
seconds=12
[ "${VERIFY_SIZE:-quick}" = full ] && seconds=30
if [ -z "${OFFGRIDFLOW_LOADTEST:-}" ]; then
  cargo build --release --quiet -p offgridflow-loadtest --features sql,redis >&2
  OFFGRIDFLOW_LOADTEST=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/offgridflow-loadtest
  export OFFGRIDFLOW_LOADTEST
fi
work=$(mktemp -d)
server=''
stop() {
  [ -n "$server" ] || return 0
  kill "$server"
  wait "$server" || true
  server=''
}
trap 'stop; rm -rf "$work"' EXIT
fail() { echo "FAIL measured=${measured:-none} $*"; exit 0; }

cat >"$work/server.py" <<'PY'
"""Answers late, refuses some, and writes down when each request came, how long it took and whether it was refused."""
import asyncio, random, signal, sys, time

chance, book = random.Random(int(sys.argv[2])), []

async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
            await reader.readexactly(length)
            came = time.perf_counter()
            refused = chance.random() < 0.03
            await asyncio.sleep(chance.lognormvariate(-3.9, 0.7))
            status = b"503 Service Unavailable" if refused else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\n{}")
            book.append((came, time.perf_counter() - came, refused))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    first = min((came for came, _, _ in book), default=0)
    with open(sys.argv[1], "w") as file:
        file.writelines(f"{came - first:.6f} {took:.6f} {int(refused)}\n" for came, took, refused in book)

asyncio.run(main())
PY

# Compares the report with the book, both without the warm-up of two seconds: prints both p95 in ms, by how many per cent they differ, and the shares of failures in per cent.
cat >"$work/compare.py" <<'PY'
import json, math, sys
total = json.load(open(sys.argv[1]))["total"]
book = [line.split() for line in open(sys.argv[2])]
book = [(float(took), refused == "1") for came, took, refused in book if float(came) >= 2]
exact = sorted(took for took, _ in book)[math.ceil(0.95 * len(book)) - 1] * 1e3
said = total["response"]["p95"].get("value", 0) / 1e6
errors = 100 * sum(refused for _, refused in book) / len(book)
reported = 100 * total["failed"] / max(total["ok"] + total["failed"], 1)
count = total["ok"] + total["failed"]
off = 100 * abs(said / exact - 1)
right = off <= 5 and abs(errors - reported) <= 0.2 and abs(count / len(book) - 1) <= 0.02
print(f"{said:.1f} {exact:.1f} {off:.1f} {reported:.2f} {errors:.2f} {count} {len(book)}")
sys.exit(not right)
PY

start() {
  rm -f "$work/port" "$work/book"
  python3 "$work/server.py" "$work/book" "${VERIFY_SEED:-$RANDOM}" >"$work/port" &
  server=$!
  for ((try = 0; try < 100; try++)); do [ -s "$work/port" ] && break; sleep 0.05; done
  base=http://127.0.0.1:$(cat "$work/port")
}

# load SCRIPT: a preset against the server with its book, as often as this machine is too busy, three times at most. Leaves the status in `code`.
load() {
  for ((try = 1; try <= 3; try++)); do
    start
    code=0
    "$1" api-endpoints --base "$base" --rate 200 --for "${seconds}s" --out "$work/out" >"$work/said" 2>"$work/err" || code=$?
    stop
    [ "$code" -eq 3 ] || return 0
  done
}

load scripts/load-test.sh
case $code in
  1) ;; # 3 % of failures are above the scenario's threshold, and it says so
  3) echo "SKIP measured=none this machine was too busy three times"; exit 0 ;;
  *) cat "$work/err" >&2; fail "the script ended with $code" ;;
esac
read -r said exact off reported errors count _ < <(python3 "$work/compare.py" "$work/out/api-endpoints.json" "$work/book" || true)
measured=p95-off-$off%,errors-off-$(awk -v a="$reported" -v b="$errors" 'BEGIN { d = a - b; printf "%.2f", (d < 0 ? -d : d) }')-points
python3 "$work/compare.py" "$work/out/api-endpoints.json" "$work/book" >/dev/null || fail "reported p95 $said ms and $reported % failures, the book has $exact ms and $errors %"
cp "$work/out/api-endpoints.json" "$work/earlier.json"

# Down: no answer, so no percentile, and no success.
code=0
scripts/load-test.sh api-endpoints --base "$base" --rate 200 --for 3s --out "$work/down" >"$work/said" 2>&1 || code=$?
down=$code
[ "$down" -ne 0 ] || fail "a server that is down is a success"
! grep -q '"ok": *[1-9]' "$work/down/api-endpoints.json" 2>/dev/null || fail "of a server that is down operations are ok"

found=0
planted() { # sed expression on the script, which the comparison must find
  rm -rf "$work/copy" "$work/out"
  mkdir -p "$work/copy/scripts" "$work/copy/docs"
  cp -r docs/loadtest "$work/copy/docs/"
  sed -E "$1" scripts/load-test.sh >"$work/copy/scripts/load-test.sh"
  cmp -s scripts/load-test.sh "$work/copy/scripts/load-test.sh" && fail "nothing was planted: $1"
  chmod +x "$work/copy/scripts/load-test.sh"
  EARLIER=$work/earlier.json load "$work/copy/scripts/load-test.sh"
  python3 "$work/compare.py" "$work/out/api-endpoints.json" "$work/book" >"$work/compared" && fail "nobody notices: $1"
  [ -s "$work/compared" ] || fail "not compared: $1"
  found=$((found + 1))
}
seconds=5
# shellcheck disable=SC2016 # the script's own variables
{
  planted 's#loadtest run "\$scenario" .*#loadtest run "$scenario" --plain || true; cp "$EARLIER" "$out/$preset.json"#'
  planted 's#^    (loadtest run "\$scenario" .*)#    \1 || true; sed -i -E "s/(.failed.:) *[0-9]+/\\1 0/" "$out/$preset.json"#'
}

echo "PASS measured=$measured control=down:exit-$down,$found-planted-faults-found n=$count reported p95 $said ms (book: $exact), failures $reported % ($errors %)"
