#!/usr/bin/env bash
# L1: a server frozen 2 s of 20 s at a steady rate comes back as the percentiles that arithmetic gives, over HTTP and for a closure;
# a frozen generator says that it was the generator. Controls: wrk, hey, and oha without its correction, on the same freeze.
exec "$(dirname "$0")/truth.sh" l1
