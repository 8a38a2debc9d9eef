#!/usr/bin/env bash
# L2: arrivals happen when the schedule says so: lag beside a bare timerfd loop, gaps as the server sees them beside oha -q and
# hey -q (the controls), pauses of the generator reported, Poisson arrivals Poisson as they are begun.
exec "$(dirname "$0")/truth.sh" l2
