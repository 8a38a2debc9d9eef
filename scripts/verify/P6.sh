#!/usr/bin/env bash
# P6: readers nobody here wrote: Go's pprof tool (a `go` that is there, or Debian's package, unpacked under target/verify) fetches profile,
# heap, heap over a second, goroutine, block, mutex and threadcreate from a running example server and prints what is in them; npm's pprof-format decodes
# the same files. Control: both refuse a file cut in half.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

work=$PWD/target/verify/P6
mkdir -p "$work"
skip() { echo "SKIP measured=none $*"; exit 0; }

# Go's tool.
find_pprof() { find "$work/go" /usr/lib/go-*/pkg/tool /usr/local/go/pkg/tool -type f -name pprof 2>/dev/null | head -n 1 || true; }
pprof=${PPROF_TOOL:-$(find_pprof)}
[ -n "$pprof" ] || { have go && pprof=$(go tool -n pprof 2>/dev/null); } || true
if [ -z "$pprof" ] && have apt-get; then
  (cd "$work" && apt-get download golang-1.19-go >&2 && mkdir -p go && dpkg-deb --fsys-tarfile golang-1.19-go_*.deb | tar -x -C go --wildcards '*/pkg/tool/*/pprof' && rm -f golang-1.19-go_*.deb) || true
  pprof=$(find_pprof)
fi
[ -n "$pprof" ] || skip "Go's pprof tool is not here, and Debian's golang-1.19-go could not be had"
{ have node && have npm; } || skip "node and npm are not here"
[ -d "$work/node_modules/pprof-format" ] || npm install --silent --no-audit --no-fund --prefix "$work" pprof-format@2.3.2 >&2 || skip "npm's pprof-format could not be had"

cargo build --quiet -p offgridflow
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
rm -f "$work"/server.db* "$work"/*.pb.gz
"$target/debug/offgridflow" all --listen 127.0.0.1:0 --database-url "sqlite:$work/server.db" --faults >"$work/listening" 2>"$work/log" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT
for _ in $(seq 100); do grep -q listening "$work/listening" && break; sleep 0.1; done
base=$(sed 's/.*\(http.*\)/\1/' "$work/listening")/debug
for fault in leak cpu tasks; do curl --silent --fail --request POST "$base/faults/$fault" || { echo "FAIL measured=none the server did not take the fault"; exit 0; }; done
sleep 3

export PPROF_TMPDIR=$work
missing='' read=0
# A live fetch must print a name that is known to be there.
for one in 'profile?seconds=2 checksum_again' 'heap keep_receipt' 'heap?seconds=2 keep_receipt' 'goroutine export' 'block connection' 'mutex receipts' 'threadcreate tokio'; do
  read -r address name <<<"$one"
  top=$("$pprof" -top -nodecount=500 -symbolize=none "$base/pprof/$address" 2>>"$work/pprof.err") || true
  file=$work/${address%%\?*}$(if [[ $address == *\?* ]]; then echo -delta; fi).pb.gz
  curl --silent --fail --output "$file" "$base/pprof/$address" || true
  decoded=$(cd "$work" && node -e '
    const { Profile } = require("pprof-format"), fs = require("fs"), zlib = require("zlib");
    const p = Profile.decode(zlib.gunzipSync(fs.readFileSync(process.argv[1]))), s = p.stringTable.strings;
    const unmapped = p.location.filter((l) => !p.mapping.some((m) => m.id == l.mappingId)).length;
    console.log(p.sample.length > 0 && unmapped == 0 && p.function.some((f) => s[Number(f.name)].includes(process.argv[2])));
  ' "$file" "$name" 2>>"$work/node.err") || true
  if [[ $top == *"$name"* && $decoded == true ]]; then read=$((read + 1)); else missing="$missing $address"; fi
done

head -c $(($(stat -c %s "$work/heap.pb.gz") / 2)) "$work/heap.pb.gz" >"$work/cut.pb.gz"
refused=0
"$pprof" -top "$work/cut.pb.gz" >/dev/null 2>&1 || refused=$((refused + 1))
(cd "$work" && node -e 'require("pprof-format").Profile.decode(require("zlib").gunzipSync(require("fs").readFileSync("cut.pb.gz")))' >/dev/null 2>&1) || refused=$((refused + 1))
word=PASS
[ "$read" -eq 7 ] && [ "$refused" -eq 2 ] || word=FAIL
echo "$word measured=$read-of-7-addresses-read-by-both control=cut-file-refused-by-$refused-of-2 n=7${missing:+ not read:$missing}"
