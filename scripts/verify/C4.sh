#!/usr/bin/env bash
# C4: round trips of batches, cold reads and reads after a tag was removed, counted by a proxy; batches beside sequential gets (the control).
exec "$(dirname "$0")/cache-promise.sh" c4::promise
