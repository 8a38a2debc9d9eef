#!/usr/bin/env bash
# L2: arrivals happen when the schedule says so: lag beside a bare timerfd loop, gaps as the server sees them beside oha -q and
# hey -q (the controls), pauses of the generator reported, Poisson arrivals Poisson as they are begun.
source "$(dirname "$0")/../common.sh"
help_if_asked "$@"

tests=$(cargo test --release --quiet -p offgridflow-loadtest --features full --test schedule 2>&1) ||
  { printf '%s\n' "$tests" >&2; echo "FAIL measured=none a schedule is not what it says (Kolmogorov-Smirnov over 100 seeds among them)"; exit 0; }
exec scripts/verify/truth.sh l2
