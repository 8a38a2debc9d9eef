#!/usr/bin/env bash
# Packages the five crates, unpacks them outside the workspace, and builds and runs new projects on them, made from the
# READMEs' own lines; one is an application that embeds the profiler and serves /debug/pprof/profile. Installs the load tester from its
# package and runs its one-liner against a server on loopback.
# Usage: scripts/check-consumer.sh
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CARGO_TARGET_DIR=$PWD/target/consumer
tokio='tokio = { version = "1", features = ["full"] }'

# What each project names in its manifest beside the crate itself.
features_of() { case $1 in cache) echo redis ;; query) echo postgres,observe ;; profile) echo cpu-pprof,flamegraph ;; bench) echo service ;; *) echo serde ;; esac; }

# The first ```rust block of a README as a program: hidden lines shown, a `main` around it where it has none.
program() {
  awk '
    /^```rust/ && !taken { inside = taken = 1; next }
    /^```/ { inside = 0 }
    inside { sub(/^#$/, ""); sub(/^# /, ""); print }
    END { exit !taken }
  ' "$1" >"$work/block" || die "$1 has no \`\`\`rust block"
  if grep -q 'fn main' "$work/block"; then cat "$work/block"; else
    printf 'fn main() -> Result<(), Box<dyn std::error::Error>> {\n'
    sed 's/^Ok::<(), [^;]*$/Ok(())/' "$work/block"
    grep -q '^Ok::<()' "$work/block" || printf 'Ok(())\n'
    printf '}\n'
  fi
}

# A project of its own: name, dependencies; its main.rs comes from standard input.
project() {
  mkdir -p "$work/$1/src"
  printf '[package]\nname = "%s"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n[dependencies]\n%s\n' "$1" "$2" >"$work/$1/Cargo.toml"
  cat >"$work/$1/src/main.rs"
}

for name in "${CRATES[@]}"; do
  crate=offgridflow-$name
  step "$crate: package, unpack, build and run its README"
  cargo package --quiet --no-verify --allow-dirty -p "$crate"
  tar -xzf "$CARGO_TARGET_DIR"/package/"$crate"-*.crate -C "$work"
  unpacked=$(echo "$work/$crate"-*/)
  for file in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE; do
    if [ -L "$unpacked/$file" ] || [ ! -s "$unpacked/$file" ]; then die "the package of $crate lacks $file"; fi
  done
  for field in description keywords categories readme license repository rust-version; do
    grep -q "^$field = " "$unpacked/Cargo.toml" || die "the package of $crate states no $field"
  done
  depends="$crate = { path = \"$unpacked\", features = [\"$(features_of "$name" | sed 's/,/", "/g')\"] }"
  program "$crate/README.md" >"$work/main.rs"
  project "uses-$name" "$depends
$tokio" <"$work/main.rs"
  (cd "$work/uses-$name" && cargo build --quiet)
  if awk '/^```rust/ { exit /no_run/ }' "$crate/README.md"; then (cd "$work/uses-$name" && cargo run --quiet >/dev/null); fi
done

step "an application that embeds the profiler"
project app "offgridflow-profile = { path = \"$(echo "$work"/offgridflow-profile-*/)\", features = [\"cpu-pprof\"] }" <<'RUST'
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use offgridflow_profile::{CpuProfiler, CpuSpec, PprofCpu};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::thread::spawn(|| loop { std::hint::black_box((0..1_000_000_u64).sum::<u64>()); });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    let (mut stream, _) = listener.accept()?;
    let mut line = String::new();
    BufReader::new(stream.try_clone()?).read_line(&mut line)?;
    assert!(line.starts_with("GET /debug/pprof/profile"), "{line}");
    let body = PprofCpu::new().capture(&CpuSpec::default(), Duration::from_secs(1))?.to_pprof();
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    Ok(stream.write_all(&body)?)
}
RUST
(cd "$work/app" && cargo build --quiet)
"$CARGO_TARGET_DIR/debug/app" >"$work/address" &
app=$!
until [ -s "$work/address" ]; do kill -0 $app 2>/dev/null || die "the application ended"; sleep 0.05; done
curl --silent --fail --max-time 30 "$(cat "$work/address")/debug/pprof/profile?seconds=1" >"$work/profile.pb.gz"
wait $app
gzip -t "$work/profile.pb.gz" || die "the profile is not gzip"
[ "$(gunzip -c "$work/profile.pb.gz" | wc -c)" -gt 200 ] || die "the profile is empty"
step "the load tester, installed from its package"
cargo install --quiet --locked --debug --path "$(echo "$work"/offgridflow-loadtest-*/)" --root "$work/installed"
loadtest=$work/installed/bin/offgridflow-loadtest
python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$work/installed" >"$work/served" 2>/dev/null &
server=$!
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
until grep -q 'http://' "$work/served"; do kill -0 $server 2>/dev/null || die "the server ended"; sleep 0.05; done
url=$(sed 's/.*(\(http:[^)]*\)).*/\1/' "$work/served")
# 3: this machine was too busy to generate the load, and the run says so.
code=0
"$loadtest" run "$url" --rate 100 --for 4s --quiet --html "$work/run.html" >"$work/run" || code=$?
case $code in
  0) ;;
  3) grep -q '^verdict: GeneratorBound' "$work/run" || die "the load test exited with 3: $(tail -n 1 "$work/run")" ;;
  *) die "the load test exited with $code: $(tail -n 1 "$work/run")" ;;
esac
grep -q '^operations  400 begun' "$work/run" || die "the load test did not ask 400 times: $(cat "$work/run")"
[ "$("$loadtest" report "$work/run.html")" = "$(cat "$work/run")" ] || die "the page does not hold its report"
"$loadtest" completions bash >"$work/completions"
grep -q 'complete -F' "$work/completions" || die "no completions"
kill $server

printf 'all five crates build and run outside the workspace; the embedded profiler gave %s bytes\n' "$(wc -c <"$work/profile.pb.gz")"
