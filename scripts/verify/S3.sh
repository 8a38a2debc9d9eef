#!/usr/bin/env bash
# S3: two api processes and a worker under load while each of thirteen things breaks: processes killed and terminated, PostgreSQL restarted, frozen, out of connections and
# out of disk, Redis killed, frozen, emptied and failed over, one process cut off from Redis, slow clients. Full: four rounds, in four orders.
# Controls: rows without ids, sent again when their answer is lost, must be there twice; caches that nobody tells must be found too old.
source "$(dirname "$0")/../common.sh"
source scripts/verify/survived.sh
help_if_asked "$@"

needs_servers redis-server psql
survived S3 everything_breaks_and_nothing_is_lost blows ''
