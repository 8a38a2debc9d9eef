#!/usr/bin/env bash
# Runs one promise of the cache, an ignored test that prints its line. Usage: scripts/verify/cache-promise.sh TEST
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

have redis-server || { echo "SKIP measured=none missing: redis-server"; exit 0; }
out=$(cargo test --release --quiet -p offgridflow-cache --all-features --test promises -- --ignored --exact --nocapture "$1" 2>&1) || true
printf '%s\n' "$out" >&2
grep -E '^(PASS|FAIL) ' <<<"$out" | tail -n 1 || echo "FAIL measured=none it did not run"
