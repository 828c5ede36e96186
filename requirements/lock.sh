#!/bin/bash
# Resolves the lock files anew: lock.sh [pip-compile options]. They name versions and hashes only, no registry.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools" && "$tools/bin/pip" install -q pip-tools
lock() { # NAME EXTRA...
  local name=$1 extras=()
  shift
  for extra; do extras+=(--extra "$extra"); done
  "$tools/bin/pip-compile" -q --allow-unsafe --generate-hashes --strip-extras --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host "${options[@]}" \
    "${extras[@]}" -o "requirements/$name.lock" pyproject.toml
}
options=("$@")
lock sidecar sidecar
lock webhook webhook
lock dev webhook sidecar dev
