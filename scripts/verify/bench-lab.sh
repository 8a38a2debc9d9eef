# shellcheck shell=bash
# Sourced by the B scripts: the command built, an ordinary crate with criterion benchmarks in a git repository of its own, and the gate on it.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
help_if_asked "$@"

cargo build --release --quiet -p offgridflow-bench >&2
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
BENCH=$target/release/offgridflow-bench
LAB=$(mktemp -d)
mkdir "$LAB/target" # git ignores it
trap 'rm -rf "$LAB"' EXIT
cp -R offgridflow-bench/tests/data/real/. "$LAB"
mv "$LAB/manifest.toml" "$LAB/Cargo.toml"
cp Cargo.lock "$LAB" # the versions that this workspace has; what the crate does not need falls out
printf 'target\n' >"$LAB/.gitignore"
cargo metadata --quiet --format-version 1 --manifest-path "$LAB/Cargo.toml" >/dev/null
lab_git() { git -C "$LAB" -c user.name=lab -c user.email=lab@lab "$@"; }
lab_commit() { lab_git add -A && lab_git commit --quiet -m "${1:-c}"; }
lab_git init --quiet --initial-branch=main
lab_commit begin
# What criterion is built from is built once for all B scripts.
lab_gate() { (cd "$LAB" && CARGO_TARGET_DIR=$target/verify/lab "$BENCH" gate "$@"); }

# A busy loop and bursts of writing beside what is measured, until `calm`.
weather() {
  (while :; do :; done) & LOAD=($!)
  (while :; do dd if=/dev/zero of="$LAB/target/burst" bs=1M count=32 conv=fsync status=none; sleep 0.7; done) & LOAD+=($!)
}
calm() { kill "${LOAD[@]}" 2>/dev/null; wait "${LOAD[@]}" 2>/dev/null || true; }

# Rounds of one revision against itself, recorded once for B1 and B2 and kept for an hour: all of them, nothing stopped early.
recorded() { # rounds, seconds, which benchmarks
  RECORDED=$target/verify/recorded-$1-rounds.json
  if [ -z "$(find "$RECORDED" -mmin -60 2>/dev/null)" ]; then
    weather
    lab_gate --base HEAD --force --all-rounds --rounds "$1" --budget "$2" --filter "$3" --report "$RECORDED" -- --bench more >&2 || true
    calm
  fi
  [ -s "$RECORDED" ] || { echo "FAIL measured=none nothing was recorded"; exit 0; }
}
