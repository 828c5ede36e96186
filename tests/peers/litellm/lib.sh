# shellcheck shell=bash
# Sourced by the scripts here, after ../common.sh.
# shellcheck disable=SC2034 # used where this is sourced
{
  # one of constraints/
  LITELLM_VERSION=${LITELLM_VERSION:-1.106.2}
  DIR=$CACHE/litellm-$LITELLM_VERSION
  PRISMA_VERSION=5.17.0
  PRISMA_ENGINE=393aa359c9ad4a4bb28630fb5613f9c281cde053 # of that version
}

# postgres_bin: the folder of Debian's newest PostgreSQL server; fails when there is none
postgres_bin() {
  local initdb
  initdb=$(find /usr/lib/postgresql -path '*/bin/initdb' 2> /dev/null | sort -V | tail -n 1)
  [ -n "$initdb" ] && dirname "$initdb"
}

# PostgreSQL refuses to run as root: then it runs as the user its Debian package made
as_postgres() {
  if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"; else "$@"; fi
}
own_by_postgres() { [ "$(id -u)" != 0 ] || chown -R postgres: "$@"; }
