"""LiteLLM's own command, with Python's collector at rest while it imports: a third of a start's work."""

import gc

gc.disable()
import litellm.proxy.proxy_server  # noqa: E402, F401 - all that it needs; the next line imports it anyway

gc.freeze()
gc.enable()
from litellm import run_server  # noqa: E402

run_server()
