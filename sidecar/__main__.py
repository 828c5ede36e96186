"""`python -m sidecar`: the registrar, by the environment the webhook wrote."""

import asyncio
import os

from sidecar.run import run

if __name__ == "__main__":
    asyncio.run(run(os.environ))
