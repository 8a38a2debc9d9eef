#!/usr/bin/env bash
# Builds the program of promises P2 and P3 with one CPU engine and runs it: the engine's last line is printed, or how it ended.
# Usage: [STATIC=1] [BLOCKLIST=1] scripts/verify/pprof-modes.sh ours|frame-pointer|default-unwinder shares|torture NUMBER [SECONDS AT MOST]
#   STATIC=1 links C's library statically; BLOCKLIST=1 drops samples by library, as the crate's documentation shows.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

engine=$1 what=$2 number=$3 patience=${4:-900}
target=${CARGO_TARGET_DIR:-$PWD/target}/pprof-modes
# Frame pointers for all of them: one of the three walks by them.
flags="-C force-frame-pointers=yes"
host=$(rustc -vV | sed -n 's/^host: //p')
[ -z "${STATIC:-}" ] || { flags="$flags -C target-feature=+crt-static"; target=$target-static; }
# With a target named, build scripts and macros are built without these flags.
RUSTFLAGS=$flags cargo build --release --quiet --locked --manifest-path scripts/verify/pprof-modes/Cargo.toml --features "$engine" \
  --target "$host" --target-dir "$target" >&2 || { echo "none"; exit 0; }
binary=$target/pprof-modes-$engine
cp --remove-destination "$target/$host/release/pprof-modes" "$binary"
status=0
said=$(timeout --signal KILL "$patience" "$binary" "$what" "$number" 2>"$target/$engine-$what.log") || status=$?
tail -n 12 "$target/$engine-$what.log" >&2
case $status in
  0) printf '%s\n' "$said" ;;
  137) echo "hung" ;;
  *) echo "crashed:$status" ;;
esac
