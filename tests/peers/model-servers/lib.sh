# shellcheck shell=bash
# Sourced by the scripts here, after ../common.sh.
SERVERS=$CACHE/model-servers
LLAMA_CPP_PYTHON_VERSION=${LLAMA_CPP_PYTHON_VERSION:-0.3.36}
mkdir -p "$SERVERS"

# llama_cpp_sources DIR [TAR ARGUMENT...]: unpacks the PyPI sdist of llama-cpp-python (llama.cpp is in its folder
# vendor/) into DIR
llama_cpp_sources() {
  local dir=$1; shift
  rm -rf "$dir"; mkdir -p "$dir"
  tools_venv
  "$SERVERS/venv/bin/pip" download -q --no-deps --no-binary llama-cpp-python -d "$dir" \
    "llama-cpp-python==$LLAMA_CPP_PYTHON_VERSION" >&2
  tar -xzf "$dir/llama_cpp_python-$LLAMA_CPP_PYTHON_VERSION.tar.gz" -C "$dir" --strip-components=1 "$@"
}

# tools_venv: the environment of the tools used here, with the writer of GGUF files
tools_venv() {
  make_venv "$SERVERS/venv"
  "$SERVERS/venv/bin/python" -c 'import gguf' 2> /dev/null ||
    "$SERVERS/venv/bin/pip" install -q --disable-pip-version-check gguf==0.19.0 >&2
}

# tiny_gguf KIND [ARGUMENT...]: makes models/KIND.gguf with make_tiny_gguf.py (mmproj: make_tiny_mmproj.py), unless it is
# there and newer
tiny_gguf() {
  local file="$SERVERS/models/$1.gguf" script=gguf
  [ "$1" != mmproj ] || script=mmproj
  script=$(dirname "${BASH_SOURCE[0]}")/llama-server/make_tiny_$script.py
  shift
  [ ! "$file" -nt "$script" ] || return 0
  mkdir -p "$SERVERS/models"
  tools_venv
  "$SERVERS/venv/bin/python" "$script" "$file.$$.part" "$@"
  mv "$file.$$.part" "$file"
}

# serve NAME PORT SECONDS PATH COMMAND...: starts COMMAND, waits at most SECONDS until GET PATH is 200 and prints the
# ready line. The same call again just prints it; other arguments on a used port fail.
serve() {
  local name=$1-$2 port=$2 seconds=$3 url; shift 3
  url=$(base_url "$port")$1; shift
  pid_of "$name" > /dev/null || free "$port"
  launch "$name" "$@"
  wait_until "$name" "$seconds" curl -sf -m 2 "$url"
  echo "ready $(base_url "$port") pid=$(pid_of "$name")"
}
