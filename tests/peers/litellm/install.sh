#!/bin/bash
# install.sh [--check|all]: a real LiteLLM proxy with what DB mode needs, below CACHE/litellm-VERSION (see ../common.sh). A
# no-op once it is there; --check only says so by its exit code; all: every version in constraints/.
# env: LITELLM_VERSION (1.106.2)
#   venv/         LiteLLM from PyPI, every package as constraints/VERSION.txt says
#   node/         Prisma's WASM query engine and the CLI that generates the client, as package-lock.json says
#   pg-template/  a database cluster with LiteLLM's own migrations applied; each run starts from a copy of it
# The native query engine is no package of any registry; query-engine-shim stands in for it.
SELF=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$SELF/../common.sh"
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$SELF/lib.sh"
if [ "${1:-}" = all ]; then
  for file in "$SELF"/constraints/*.txt; do LITELLM_VERSION=$(basename "$file" .txt) "$0"; done
  exit
fi
wanted=$SELF/constraints/$LITELLM_VERSION.txt
[ -f "$wanted" ] || die "LiteLLM $LITELLM_VERSION: not in constraints/"
want=$(cat "$wanted" "$SELF"/{package-lock.json,query-engine-shim,lib.sh} | sha256sum | cut -d' ' -f1)
built() { [ "$(cat "$DIR/stamp" 2> /dev/null)" = "$want" ] && postgres_bin > /dev/null; }
built && exit 0
[ "${1:-}" != --check ] || exit 1
lock litellm
built && exit 0
say "litellm: installing LiteLLM $LITELLM_VERSION, Prisma $PRISMA_VERSION and PostgreSQL (1 to 2 minutes)"
rm -rf "$DIR"
mkdir -p "$DIR"
postgres_bin > /dev/null || apt_install postgresql
need node nodejs; need npm npm; need curl curl

make_venv "$DIR/venv"
# prisma 0.11: LiteLLM's generated client is written against it; 0.15 lacks Prisma.__engine.
# --no-deps: all of them are named, and 1.108.7 asks for root certificates newer than these
"$DIR/venv/bin/pip" install -q --disable-pip-version-check --no-deps -r "$wanted" >&2
site=$("$DIR/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

mkdir "$DIR/node"
cp "$SELF"/{package.json,package-lock.json} "$DIR/node/"
(cd "$DIR/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2
install -m755 "$SELF/query-engine-shim" "$DIR/node/"

# The Python client. The engines named here only answer --version; without binaryTargets no other is asked for.
printf '#!/bin/sh\necho "query-engine %s"\n' "$PRISMA_ENGINE" > "$DIR/no-engine"
chmod +x "$DIR/no-engine"
sed '/binaryTargets/d' "$site/litellm/proxy/schema.prisma" > "$DIR/schema.prisma"
PATH="$DIR/venv/bin:$PATH" PRISMA_QUERY_ENGINE_BINARY="$DIR/no-engine" PRISMA_QUERY_ENGINE_LIBRARY="$DIR/no-engine" \
  PRISMA_SCHEMA_ENGINE_BINARY="$DIR/no-engine" PRISMA_CLI_QUERY_ENGINE_TYPE=binary \
  PRISMA_EXPECTED_ENGINE_VERSION="$PRISMA_ENGINE" PRISMA_VERSION="$PRISMA_VERSION" DATABASE_URL=postgresql://unused \
  CHECKPOINT_DISABLE=1 PRISMA_HIDE_UPDATE_MESSAGE=1 \
  "$(command -v node)" "$DIR/node/node_modules/prisma/build/index.js" generate --schema "$DIR/schema.prisma" > "$DIR/generate.log" 2>&1 ||
  { tail -n 20 "$DIR/generate.log" >&2; die "prisma generate failed"; }
# the generated client is large: without this every start compiles it anew where PYTHONDONTWRITEBYTECODE is set
"$DIR/venv/bin/python" -m compileall -q "$site/prisma"

# The database. As root the server runs as user postgres, who cannot read everybody's home: made below /tmp, then moved.
scratch=$(mktemp -d /tmp/litellm-pg.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
chmod 711 "$scratch"
bin=$(postgres_bin)
mkdir -m700 "$scratch/pg" && mkdir "$scratch/socket"
own_by_postgres "$scratch/pg" "$scratch/socket"
as_postgres "$bin/initdb" -D "$scratch/pg" -A trust -U postgres -E UTF8 --no-locale --no-sync > /dev/null
as_postgres "$bin/pg_ctl" -s -w -D "$scratch/pg" -l "$scratch/pg/log" \
  -o "-c listen_addresses= -c unix_socket_directories=$scratch/socket -c fsync=off" start
sql() { as_postgres "$bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$scratch/socket" -U postgres "$@"; }
migrate() {
  sql -c "create role litellm superuser login password 'litellm'" -c 'create database litellm owner litellm'
  # in name order, in one session; a folder name has blanks in it
  find "$site/litellm_proxy_extras/migrations" -name migration.sql -print0 | sort -z |
    while IFS= read -r -d '' file; do cat "$file"; printf '\n;\n'; done | sql -U litellm litellm > "$DIR/migrations.log" 2>&1
}
code=0; migrate || code=$?
as_postgres "$bin/pg_ctl" -s -w -D "$scratch/pg" -m fast stop
[ "$code" = 0 ] || { tail -n 20 "$DIR/migrations.log" >&2; die "LiteLLM's migrations failed"; }
rm -f "$scratch/pg/log"
cp -a "$scratch/pg" "$DIR/pg-template"
echo "$want" > "$DIR/stamp"
say "litellm: installed in $SECONDS s, $(du -sh "$DIR" | cut -f1)"
