#!/bin/bash
# database.sh [PORT]: PostgreSQL with LiteLLM's tables, on loopback, its data in WORK/pg; a no-op while it runs.
# Stopped by ../stop.sh postgres and started again without PORT it has the same data and the same port.
# env: WORK, LITELLM_VERSION (1.106.2: whose tables; the same for run.sh)
SELF=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$SELF/../common.sh"
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$SELF/lib.sh"
"$SELF/install.sh"
bin=$(postgres_bin)
mkdir -p "$WORK"
if [ ! -d "$WORK/pg" ]; then
  [ $# = 1 ] || die "usage: database.sh PORT (the first time in a WORK)"
  cp -a "$DIR/pg-template" "$WORK/pg.part"
  own_by_postgres "$WORK/pg.part"
  mv "$WORK/pg.part" "$WORK/pg"
  echo "$1" > "$WORK/pg.port"
fi
chmod o+x "$WORK" # user postgres must get through
port=$(cat "$WORK/pg.port")
# the function as_postgres is no program that launch could start
as=(); [ "$(id -u)" != 0 ] || as=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
launch postgres "${as[@]}" "$bin/postgres" -D "$WORK/pg" -p "$port" -c listen_addresses=127.0.0.1 \
  -c unix_socket_directories= -c fsync=off -c timezone=UTC -c max_connections=200
wait_until postgres 60 "$bin/psql" -X -c 'select 1' "postgresql://litellm:litellm@127.0.0.1:$port/litellm"
echo "ready postgresql://litellm:litellm@127.0.0.1:$port/litellm"
