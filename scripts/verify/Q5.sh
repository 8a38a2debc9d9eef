#!/usr/bin/env bash
# Q5: futures dropped at random awaits (acquire, begin, query, commit, give back): no place is lost, no session stays inside a
# transaction, no answer goes astray. Control: the same on sqlx 0.9.0's own pool, pinned in a package of its own, must lend a session
# that is inside somebody else's transaction.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

target=${CARGO_TARGET_DIR:-target}
seed=${VERIFY_SEED:-$(date +%s)}
cuts=10000
[ "${VERIFY_SIZE:-quick}" = full ] && cuts=100000
export VERIFY_SEED=$seed

cargo build --quiet -p testkit >&2
"$target/debug/testkit" run -- true >&2 || { echo "SKIP measured=none missing: a PostgreSQL server"; exit 0; }
cargo build --quiet --locked --manifest-path scripts/verify/bare-sqlx/Cargo.toml --target-dir "$target/bare-sqlx" >&2
bare=$("$target/debug/testkit" run -- "$target/bare-sqlx/debug/bare-sqlx" "$cuts" "$seed") || bare=none
printf 'bare sqlx: %s\n' "$bare" >&2

out=$("$target/debug/testkit" run -- cargo test --quiet -p offgridflow-query --features full --test cancellation -- \
  --ignored --exact --nocapture promise 2>&1) && verdict=PASS || verdict=FAIL
printf '%s\n' "$out" >&2
line=$(grep -E '^measured=' <<<"$out" | tail -n 1) || { echo "FAIL measured=none it did not come to its end"; exit 0; }
[[ $bare =~ ^poisoned=[1-9] ]] || verdict=FAIL
read -r poisoned of <<<"$bare"
printf '%s %s control=bare-sqlx-0.9.0:poisoned:%s-of-%s %s\n' "$verdict" "${line%% *}" "${poisoned#*=}" "${of#*=}" "${line#* }"
