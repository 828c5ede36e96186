"""What `list` is told of LiteLLM and of the cluster.

Flags and variables are the broker's own, so that in the broker's container it needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from webhook.broker.settings import LITELLM_URL
from webhook.flags import CLUSTER_ID, ENV_PREFIX, SettingsError, read, setting

# The key itself, for a laptop; never by a flag, which other users of a machine can read.
ENV_KEY: Final = f"{ENV_PREFIX}LITELLM_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings; without `litellm_key_file` the key itself is in the environment."""

    litellm_url: str = field(metadata=setting("LiteLLM's address", *LITELLM_URL))
    litellm_key_file: str = field(
        default="",
        metadata=setting(f"file with the key of LiteLLM's admin API; empty: the key is in {ENV_KEY}"),
    )
    litellm_ca: str = field(
        default="",
        metadata=setting("PEM file that LiteLLM's certificate is verified by; empty: the system's"),
    )
    cluster_id: str = field(
        default="",
        metadata=setting(
            "this cluster's name in LiteLLM; empty: the uid of the namespace kube-system", *CLUSTER_ID
        ),
    )
    kubeconfig: str = field(
        default="",
        metadata=setting("kubeconfig; empty: the pod's ServiceAccount, $KUBECONFIG or ~/.kube/config"),
    )

    @classmethod
    def read(cls, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Self:
        """Take each setting from its flag, else its variable, else its default. Raises SettingsError."""
        settings = read(cls, flags, environ)
        if not settings.litellm_key_file and not environ.get(ENV_KEY):
            raise SettingsError([f"--litellm-key-file (or {ENV_KEY} with the key itself) is missing"])
        return settings
