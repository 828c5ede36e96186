"""Rows that are none of the registrar's business: they must be the same, byte for byte, after everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.peers.proxy import LiteLLM
from tests.peers.scripts import FOLDER
from tests.peers.webhook import CLUSTER_ID

CONFIG_NAME: Final = "from-config"
_CONFIG_ROW: Final = f"""model_list:
- model_name: {CONFIG_NAME}
  litellm_params: {{model: hosted_vllm/elsewhere, api_base: "http://127.0.0.1:9/v1"}}
  model_info: {{id: config-row, mode: chat}}
"""
_NOWHERE: Final = "http://127.0.0.1:9/v1"


def config(folder: Path) -> Path:
    """Write a configuration of LiteLLM with one model of its own."""
    shipped = (FOLDER / "litellm" / "config.yaml").read_text()
    path = folder / "config.yaml"
    path.write_text(shipped.replace("model_list: []\n", _CONFIG_ROW))
    return path


class Foreign:
    """The rows as they were made, and what they are now."""

    def __init__(self, proxy: LiteLLM) -> None:
        self._proxy = proxy
        owner = {
            "cluster": CLUSTER_ID,
            "namespace": "models",
            "pod": "qwen-0",
            "pod_uid": "u-1",
            "model": "qwen",
        }
        self._ids = {
            proxy.create("made-in-ui", {"model": "openai/gpt-4o-mini", "api_key": "sk-x"}, {"team_id": None}),
            proxy.create("no-api-base", {"model": "anthropic/claude-x", "rpm": 5}, {"id": "no-api-base"}),
            proxy.create("blocked", {"model": "openai/x", "api_key": "x"}, {"id": "blocked"}, blocked=True),
            proxy.create(
                "other-cluster",
                {"model": "hosted_vllm/qwen", "api_base": _NOWHERE},
                {"id": "registrar-other", "registrar": {**owner, "cluster": "another"}},
            ),
            proxy.create(
                "other-pod",
                {"model": "hosted_vllm/qwen", "api_base": _NOWHERE},
                {"id": "registrar-sibling", "registrar": owner},
            ),
        }
        proxy.foreign = frozenset(self._ids)
        self._before = self.now()

    def now(self) -> tuple[dict[str, str], list[dict[str, Any]]]:
        """Give the rows in the database as text, and the one of the configuration as LiteLLM shows it."""
        stored = self._proxy.stored()
        return {key: stored.get(key, "is gone") for key in self._ids}, self._proxy.rows(CONFIG_NAME)

    def check(self) -> None:
        """Fail if any of them is not as it was."""
        assert self.now() == self._before
