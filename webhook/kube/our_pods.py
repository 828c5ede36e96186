"""Where the pods with a label of ours are listed and watched."""

from __future__ import annotations

from typing import Final

from sidecar.contract import LABEL_CARRIED, LABEL_SERVER

PODS: Final = "/api/v1/pods"
# Of the pods with a label of ours; each is in one of the two.
SELECTORS: Final = (LABEL_SERVER, f"{LABEL_CARRIED},!{LABEL_SERVER}")
