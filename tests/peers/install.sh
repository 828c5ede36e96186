#!/bin/bash
# install.sh real|chart|cluster|node|all: everything make test-real, test-chart, test-cluster, test-node or all of them need.
# Quick when it is there already.
#   real  LiteLLM (all versions), llama-server, Ollama, vLLM, a Kubernetes API server
#   chart  a Kubernetes API server, Helm, kubeconform, promtool
#   cluster, node  LiteLLM, llama-server, Ollama, a whole Kubernetes node, and what chart needs
# Needs Debian (as root, for its packages), Python, Go and the registries that pip, npm and go are configured for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
case ${1:-} in
  real) steps=("litellm/install.sh all" model-servers/{llama-server/build,ollama/build,vllm/install}.sh "kubernetes/build.sh control-plane") ;;
  chart) steps=("kubernetes/build.sh control-plane chart") ;;
  cluster | node) steps=(litellm/install.sh model-servers/{llama-server,ollama}/build.sh "kubernetes/build.sh all") ;;
  all) ./install.sh real; exec ./install.sh node ;;
  *) echo "usage: install.sh real|chart|cluster|node|all" >&2; exit 2 ;;
esac
for step in "${steps[@]}"; do
  begin=$SECONDS
  # shellcheck disable=SC2086 # a script and its arguments
  ./$step >&2 || { echo "peers: $step FAILED after $((SECONDS - begin)) s" >&2; exit 1; }
  echo "peers: $step is there ($((SECONDS - begin)) s)" >&2
done
