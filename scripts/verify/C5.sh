#!/usr/bin/env bash
# C5: Redis frozen under 5 000 reads a second, killed and emptied, and killed and brought back from an older file. Control: moka
# over Redis in the same freeze.
exec "$(dirname "$0")/cache-promise.sh" c5::promise
