#!/bin/bash
# stop.sh [-KILL] [NAME|PORT...]: ends processes of this WORK by pid and start time: those of that name (litellm, vllm,
# llama-server, ollama, postgres), on that port, or without any argument all, the database last. -KILL: as a crash does.
# env: WORK, STOP_SECONDS (15: then SIGKILL)
SELF=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$SELF/common.sh"
signal=
if [ "${1:-}" = -KILL ]; then signal=KILL; shift; fi
end() {
  # to PostgreSQL SIGTERM means: once all clients have left
  if [ "$1" = postgres ]; then stop "$1" "${signal:-INT}"; else stop "$1" "${signal:-TERM}"; fi
}
named() { [ "$1" = "$2" ] || [ "${1%-*}" = "$2" ] || [ "${1##*-}" = "$2" ]; }
database=
for file in "$WORK"/run/*.pid; do
  [ -f "$file" ] || continue
  name=$(basename "$file" .pid)
  wanted=$([ $# -gt 0 ] || echo yes)
  for word; do if named "$name" "$word"; then wanted=yes; fi; done
  [ -n "$wanted" ] || continue
  if [ "$name" = postgres ]; then database=$name; else end "$name"; fi
done
[ -z "$database" ] || end "$database"
