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
[ $# -gt 0 ] || set -- webhook sidecar llama-server ollama
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# what a model server's Dockerfile copies: made first, then put into the folder that it is built in
files_of_llama-server() {
  "$SELF/../model-servers/llama-server/build.sh"
  tiny_gguf chat
  tiny_gguf slow --slow --context 8192
  printf '%s\n' "$SERVERS/llama-server/llama-server" "$SERVERS/models/"{chat,slow}.gguf
}
files_of_ollama() { # a server makes its models itself, once
  local run=$scratch/run store=$OUT/ollama/models script=$SELF/../model-servers/ollama/run.sh port
  "$SELF/../model-servers/ollama/build.sh"
  if [ ! -d "$store" ] || [ "$SERVERS/ollama/ollama" -nt "$store" ] || [ "$script" -nt "$store" ]; then
    port=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    WORK=$run "$script" "$port" > /dev/null
    WORK=$run "$SELF/../stop.sh"
    rm -rf "$store"
    mkdir -p "$OUT/ollama"
    mv "$run/ollama-$port/models" "$store"
    touch "$store"
  fi
  printf '%s\n' "$SERVERS/ollama/ollama" "$store"
}
# contents FILE|FOLDER...: what tells one version of them from another
contents() { find "$@" -name __pycache__ -prune -o -type f -print0 | sort -z | xargs -0 sha256sum; }

for name; do
  case $name in
    webhook | sidecar)
      folder=$ROOT dockerfile=$ROOT/Dockerfile.$name
      files=("$ROOT"/{.dockerignore,"requirements/$name.lock",docker,sidecar,"$name"})
      ;;
    llama-server | ollama)
      folder=$scratch/$name dockerfile=$SELF/Dockerfile.$name
      found=$("files_of_$name")
      mapfile -t files <<< "$found"
      ;;
    *) die "no image is called $name; there are webhook, sidecar, llama-server, ollama" ;;
  esac
  key=$(contents "$dockerfile" "$SELF/../kubernetes/image-build.sh" "${files[@]}" | sha256sum)
  if [ ! -e "$OUT/$name.tar" ] || [ "$(cat "$OUT/$name.key" 2> /dev/null)" != "$key" ]; then
    if [ "$folder" != "$ROOT" ]; then mkdir "$folder"; cp -r "${files[@]}" "$folder/"; fi
    "$SELF/../kubernetes/image-build.sh" -t "litellm-registrar/$name:test" -o "$OUT/$name.tar" -f "$dockerfile" "$folder" \
      > "$OUT/$name.log" 2>&1 || { tail -n 20 "$OUT/$name.log" >&2; die "image $name did not build"; }
    echo "$key" > "$OUT/$name.key"
  fi
  echo "$OUT/$name.tar"
done
