#!/usr/bin/env bash
# C8: hit ratios of the cache beside the raw moka and the raw quick_cache that it is built on, on seeded mixes and on the traces of
# the folder OFFGRIDFLOW_DATA; and, on paused time, how evenly 10 000 keys are loaded again that were loaded at once. A wave's mean
# is over the last tenth of the ttl, the default jitter. Controls: half the room must be off by more; no jitter must fail.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

exec scripts/verify/cache-truth.sh c8
