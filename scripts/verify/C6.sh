#!/usr/bin/env bash
# C6: the oldest read while every message is lost for 10 s, through a burst of 10 000 invalidations, on a node whose own task starves,
# and after a node that dies at once. Control: moka, Redis and pub/sub, whose messages are lost as well.
exec "$(dirname "$0")/cache-promise.sh" c6::promise
