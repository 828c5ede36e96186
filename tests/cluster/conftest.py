"""One real node with our images, and LiteLLM outside of it, for the whole session."""

from tests.peers.node_session import cluster, helm, images, litellm_url, proxy, starting, work

__all__ = ["cluster", "helm", "images", "litellm_url", "proxy", "starting", "work"]
