"""`python -m tests.bench.paced`: a stand-in LiteLLM as slow as the real one, until its input ends.

Its address is the one line it writes. It has two rows of its own configuration.
"""

import asyncio
import sys

from tests.standins.litellm import LiteLLM

_ROWS = [
    {
        "model_name": name,
        "litellm_params": {"model": f"openai/{name}"},
        "model_info": {"id": f"configured-{name}", "db_model": False},
    }
    for name in ("gpt-4o", "gpt-4o-mini")
]


async def _serve() -> None:
    async with LiteLLM(1, config_models=_ROWS, paced=True) as cluster:
        print(cluster.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
