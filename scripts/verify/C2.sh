#!/usr/bin/env bash
# C2: ten thousand tasks on one cold key are one load; with a thousand aborted, one; with a loader that panics, one typed error to all;
# from four processes on one Redis, one. Control: moka's get_with over Redis without a lease.
exec "$(dirname "$0")/cache-promise.sh" c2::promise
