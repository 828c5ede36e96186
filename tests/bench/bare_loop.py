"""The memory benchmark's baseline: python, asyncio and one httpx client that polls a URL every 5 s.

`python -m tests.bench.bare_loop URL`
"""

import asyncio
import sys

import httpx


async def poll(url: str) -> None:
    """Ask for ever."""
    async with httpx.AsyncClient() as client:
        while True:
            await client.get(url)
            await asyncio.sleep(5)


if __name__ == "__main__":
    asyncio.run(poll(sys.argv[1]))
