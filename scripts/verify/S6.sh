#!/usr/bin/env bash
# S6: two api processes, a worker, Redis and PostgreSQL, each on a host of its own within this machine (network namespaces on one switch, 10 ms and 1 % of loss between them), under load
# while the network is cut in seven ways: the cables of an api, the worker, Redis, PostgreSQL; the answers of Redis, of PostgreSQL, and to clients. Full: four rounds, in four orders.
# The line says what makes delay and loss here. Controls: rows without ids, sent again when their answer is lost, must be there twice; caches that nobody tells must be found too old.
source "$(dirname "$0")/../common.sh"
source scripts/verify/survived.sh
help_if_asked "$@"

needs_servers redis-server psql ip unshare
unshare --net true 2>/dev/null || { echo "SKIP measured=none this user may not make network namespaces here: run it as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN"; exit 0; }
survived S6 the_network_is_cut_and_nothing_is_lost cuts 'delay=.*'
