#!/usr/bin/env bash
# S5: who is let through to what, tenants that see what they would see alone, a run's log without secrets, and parsers under a million inputs (quick: a tenth).
# Control: without keys anybody on this machine reads another tenant's row.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

for program in redis-server psql; do have $program || { echo "SKIP measured=none missing: $program"; exit 0; }; done
inputs=100000
[ "${VERIFY_SIZE:-quick}" = full ] && inputs=1000000
seed=${VERIFY_SEED:-$(date +%s)}
cargo build --quiet -p testkit >&2
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
control=control_keys_off_lets_anybody_here_read_another_tenants_data
out=$("$target/debug/testkit" run -- cargo test --quiet -p offgridflow --test security --test isolation --test secrets -- --test-threads=2 2>&1) ||
  { printf '%s\n' "$out" >&2; echo "FAIL measured=none a test of security failed"; exit 0; }
tests=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' <<<"$out" | awk '{ sum += $1 } END { print sum + 0 }')
found=$(cargo test --quiet -p offgridflow --test security -- --exact $control 2>&1) || { printf '%s\n' "$found" >&2; echo "FAIL measured=none the control did not run"; exit 0; }
grep -q '1 passed' <<<"$found" || { echo "FAIL measured=none the control did not run"; exit 0; }
fuzzed=$(FUZZ_INPUTS=$inputs FUZZ_SEED=$seed cargo test --quiet -p offgridflow --test fuzz -- --nocapture 2>&1) ||
  { printf '%s\n' "$fuzzed" >&2; echo "FAIL measured=none an input breaks a parser (seed $seed)"; exit 0; }
read -r told slowest < <(sed -n 's/.*fuzz inputs=\([0-9]*\) seed=[0-9]* slowest=\(.*\)/\1 \2/p' <<<"$fuzzed")
[ "${told:-0}" -eq "$inputs" ] || { echo "FAIL measured=none no figures of the parsers"; exit 0; }
echo "PASS measured=0-foreign-rows,0-secrets-in-a-log,0-of-$told-inputs-break-a-parser control=keys-off:another-tenants-row-is-read n=$tests tests seed $seed, slowest input $slowest"
