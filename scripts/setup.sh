#!/usr/bin/env bash
# Installs what the tests need and the machine lacks: PostgreSQL, pgbouncer, Redis (Debian packages, when root); says so otherwise.
# Usage: scripts/setup.sh
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

missing=()
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || have postgres || missing+=(postgresql)
have psql || missing+=(postgresql-client)
have redis-server || missing+=(redis-server)
have pgbouncer || [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
have cc || missing+=(gcc libc6-dev)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! have apt-get; then
  die "missing: ${missing[*]}. Install them, for example: sudo apt-get install ${missing[*]}"
fi
step "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # RUNLEVEL: the packages' own services stay down
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
