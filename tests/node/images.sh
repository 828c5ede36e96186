#!/bin/bash
# images.sh OUT-DIR: what the node's tests run, as archives: sidecar.tar (Dockerfile.sidecar) and llama-server.tar.
set -euo pipefail
SELF=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$SELF/../.." && pwd)
PEERS=$ROOT/tests/peers
[ $# = 1 ] || { echo "usage: images.sh OUT-DIR" >&2; exit 2; }
OUT=$1
"$PEERS/model-servers/llama-server/build.sh"
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
(
  # shellcheck source=../peers/common.sh
  . "$PEERS/common.sh"
  # shellcheck source=../peers/model-servers/lib.sh
  . "$PEERS/model-servers/lib.sh"
  tiny_gguf chat
  tiny_gguf slow --slow --context 8192
  cp "$SERVERS/llama-server/llama-server" "$SERVERS/models/"{chat,slow}.gguf "$context/"
)
image() { # NAME DOCKERFILE CONTEXT
  "$PEERS/kubernetes/image-build.sh" -t "litellm-registrar/$1:test" -o "$OUT/$1.tar" -f "$2" "$3" >"$OUT/$1.log" 2>&1 ||
    { tail -n 20 "$OUT/$1.log" >&2; exit 1; }
}
image sidecar "$ROOT/Dockerfile.sidecar" "$ROOT"
image llama-server "$SELF/Dockerfile.llama-server" "$context"
