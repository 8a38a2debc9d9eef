#!/usr/bin/env bash
# L4: CPU time a request of the load tester, beside oha, wrk and hey in turn, saturated and at a rate (with 1 ms of slack, as oha has it; without beside it); what its engine does
# in a second and allocates for an operation, and what its HTTP client allocates.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

allocations() { # TEST FEATURES: that one test's figures, or nothing
  cargo test --release --quiet -p offgridflow-loadtest "${@:2}" --test "$1" -- --nocapture 2>&1
}
engine=$(allocations allocations) || { printf '%s\n' "$engine" >&2; echo "FAIL measured=none the engine allocates for an operation"; exit 0; }
client=$(allocations http_allocations) || { printf '%s\n' "$client" >&2; echo "FAIL measured=none the HTTP client allocates more than 6 times a request"; exit 0; }
each=$(sed -n 's/.*allocations a request: \([0-9.]*\).*/\1/p' <<<"$client" | head -1)
[ -n "$each" ] || { printf '%s\n' "$client" >&2; echo "FAIL measured=none no figure of what the HTTP client allocates"; exit 0; }
line=$(scripts/verify/truth.sh l4)
printf '%s engine-allocations=0,http-allocations-a-request=%s\n' "$line" "$each"
