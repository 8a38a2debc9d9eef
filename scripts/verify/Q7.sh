#!/usr/bin/env bash
# Q7: a dropped index is flagged within thirty executions and nothing else is, N+1 is found in two labelled corpora, every index that is
# said to help makes its statement twice as fast, and fingerprints agree with the server's own of 20 000 texts, 1 000 000 in full. Control: a threshold on the mean, which alarms at every slow spell.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

target=${CARGO_TARGET_DIR:-target}
cargo build --quiet -p testkit >&2
"$target/debug/testkit" run -- true >&2 || { echo "SKIP measured=none missing: a PostgreSQL server"; exit 0; }
ours() { "$target/debug/testkit" run -- cargo test --quiet -p offgridflow-query --features full "$@" 2>&1; }

out=$(ours --test insight -- --ignored --exact --nocapture promise) && verdict=PASS || verdict=FAIL
printf '%s\n' "$out" >&2
line=$(grep -oE 'measured=.*' <<<"$out" | tail -n 1) || { echo "FAIL measured=none it did not come to its end"; exit 0; }
corpus=$(ours --test n_plus_one -- --nocapture) || verdict=FAIL
printf '%s\n' "$corpus" >&2
n_plus_one=$(grep -oE 'corpus=second precision=[0-9.]+ recall=[0-9.]+' <<<"$corpus" | sed 's/corpus=second /n+1-/; s/ recall=/,recall:/; s/precision=/precision:/') || verdict=FAIL
helps=every-helps-twice-as-fast
advice=$(ours --test indices) || verdict=FAIL helps=advice-failed
printf '%s\n' "$advice" >&2
texts=$(ours --test fingerprint_server -- --ignored --exact --nocapture promise) || verdict=FAIL
printf '%s\n' "$texts" >&2
agree=$(grep -oE 'fingerprints-agree=.*' <<<"$texts" | tr '=' ':') || { verdict=FAIL; agree=fingerprints-differ; }
measured=${line%% n=*} control=${line##*control-alarms=}
measured=${measured// /} size=${line##* n=}
size=${size%% *}
printf '%s %s,%s,%s,%s control=mean-threshold:%s-false-alarms n=%s\n' "$verdict" "$measured" "$n_plus_one" "$helps" "$agree" "$control" "$size"
