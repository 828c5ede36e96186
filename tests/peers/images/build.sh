#!/bin/bash
# build.sh [IMAGE...]: the images that pods of tests run, as archives in CACHE/images/IMAGE.tar; prints their paths.
#   webhook, sidecar  of this checkout: Dockerfile.webhook, Dockerfile.sidecar
#   llama-server      a real one with the models chat and slow
#   ollama            a real one with the models tiny, tiny-plain, tiny-embed and tiny-slow
# In a pod they are called litellm-registrar/IMAGE:test. Quick where nothing has changed. Needs what ../install.sh node
# or cluster installs.
SELF=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$SELF/../common.sh"
# shellcheck source-path=SCRIPTDIR source=../model-servers/lib.sh
. "$SELF/../model-servers/lib.sh"
ROOT=$(cd "$SELF/../../.." && pwd)
OUT=$CACHE/images
mkdir -p "$OUT"
lock images
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

# what a model server's Dockerfile copies, into $context/NAME
context_of_llama-server() {
  "$SELF/../model-servers/llama-server/build.sh"
  tiny_gguf chat
  tiny_gguf slow --slow --context 8192
  cp "$SERVERS/llama-server/llama-server" "$SERVERS/models/"{chat,slow}.gguf .
}
context_of_ollama() { # a server makes its models itself, once
  local run=$context/run store port
  "$SELF/../model-servers/ollama/build.sh"
  store=$OUT/ollama-models-$(cat "$SERVERS/ollama/version")
  if [ ! -d "$store" ] || [ "$SELF/../model-servers/ollama/run.sh" -nt "$store" ]; then
    port=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    WORK=$run "$SELF/../model-servers/ollama/run.sh" "$port" > /dev/null
    WORK=$run "$SELF/../stop.sh"
    rm -rf "$store"
    mv "$run/ollama-$port/models" "$store"
    touch "$store"
  fi
  cp "$SERVERS/ollama/ollama" .
  cp -r "$store" models
}

[ $# -gt 0 ] || set -- webhook sidecar llama-server ollama
for name; do
  case $name in
    webhook | sidecar) folder=$ROOT dockerfile=$ROOT/Dockerfile.$name ;;
    llama-server | ollama)
      folder=$context/$name dockerfile=$SELF/Dockerfile.$name
      mkdir "$folder"
      (cd "$folder" && "context_of_$name")
      ;;
    *) die "no image is called $name; there are webhook, sidecar, llama-server, ollama" ;;
  esac
  "$SELF/../kubernetes/image-build.sh" -t "litellm-registrar/$name:test" -o "$OUT/$name.tar" -f "$dockerfile" "$folder" \
    > "$OUT/$name.log" 2>&1 || { tail -n 20 "$OUT/$name.log" >&2; die "image $name did not build"; }
  echo "$OUT/$name.tar"
done
