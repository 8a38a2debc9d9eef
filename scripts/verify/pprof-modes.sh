#!/usr/bin/env bash
# Builds the program of promises P2 and P3 with one CPU engine and runs it: the engine's last line is printed, or how it ended.
# Usage: scripts/verify/pprof-modes.sh ours|frame-pointer|default-unwinder shares|torture NUMBER [SECONDS AT MOST]
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

engine=$1 what=$2 number=$3 patience=${4:-900}
target=${CARGO_TARGET_DIR:-$PWD/target}/pprof-modes
# Frame pointers for all of them: one of the three walks by them.
RUSTFLAGS="-C force-frame-pointers=yes" cargo build --release --quiet --locked --manifest-path scripts/verify/pprof-modes/Cargo.toml \
  --features "$engine" --target-dir "$target" >&2 || { echo "none"; exit 0; }
binary=$target/release/pprof-modes-$engine
cp "$target/release/pprof-modes" "$binary"
status=0
said=$(timeout --signal KILL "$patience" "$binary" "$what" "$number" 2>"$target/$engine-$what.log") || status=$?
tail -n 12 "$target/$engine-$what.log" >&2
case $status in
  0) printf '%s\n' "$said" ;;
  137) echo "hung" ;;
  *) echo "crashed:$status" ;;
esac
