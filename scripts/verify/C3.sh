#!/usr/bin/env bash
# C3: what a hit costs over raw moka and raw quick_cache, interleaved round by round, with one thread and with two, while nothing
# changes and while tags are bumped 100 times a second; allocations and decodes of hits. Control: raw moka, held to what is promised
# over quick_cache and over moka's own future cache, must fail; and the allocation counter must see a copy.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

tests=$(cargo test --release --quiet -p offgridflow-cache --all-features --test hit 2>&1) ||
  { printf '%s\n' "$tests" >&2; echo "FAIL measured=none a hit allocates or decodes, or a near tier is not bounded"; exit 0; }
exec scripts/verify/cache-truth.sh c3
