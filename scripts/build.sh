#!/usr/bin/env bash
# Builds the server as one static executable, for images that hold nothing else: no loader, no C library, no path of this machine in it.
# Prints where it is.
# Usage: scripts/build.sh
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

host=$(rustc -vV | sed -n 's/^host: //p')
sysroot=$(rustc --print sysroot)
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=/offgridflow --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$sysroot=/rust"
step "building the static executable for $host (minutes, the first time)"
# Naming the target keeps these flags from build scripts and procedural macros, which must stay dynamic.
cargo build --quiet --release --locked --target "$host" -p offgridflow --bin offgridflow
binary=$target/$host/release/offgridflow.static
# Names of functions stay, for profiles; their lines are four fifths of the file, and go.
strip --strip-debug -o "$binary" "$target/$host/release/offgridflow"
! readelf --program-headers "$binary" 2>/dev/null | grep -q INTERP || die "$binary asks for a loader: it is not static"
printf '%s\n' "$binary"
