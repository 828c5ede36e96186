"""How long the registrar takes to find out what a model can do, beyond what registering takes anyway."""

import asyncio
import tempfile
import time
import uuid
from typing import Any, BinaryIO, Final

from sidecar.contract import CONTAINER_NAME
from tests.bench.counting import CountingProxy
from tests.bench.figures import Figure, percentile
from tests.bench.pod import PYTHON, ROOT
from tests.kubelet import container_process
from tests.peers.proxy import LiteLLM, litellm
from tests.peers.servers import ModelServer, model_server
from tests.real.pods import SECRET, manifest
from tests.real.truth import VLLM_GUARDED, Served
from webhook.inject import Injection, inject
from webhook.patch import apply

PAIRS: Final = 30
LONGEST: Final = 60.0
# The same registrar, which puts no questions to a vLLM.
WITHOUT: Final = """
from dataclasses import replace
from sidecar.servers import vllm
vllm.VLLM = replace(vllm.VLLM, probes=())
import runpy
runpy.run_module("sidecar", run_name="__main__")
"""


async def measure() -> list[Figure]:
    """Give probe_time, of the vLLM with the most questions to answer."""
    served = VLLM_GUARDED
    probed, plain = [], []
    with (
        litellm(replicas=1) as proxy,
        model_server(served.engine, *served.flags, logs=None, **served.env) as server,
    ):
        for _ in range(PAIRS):
            plain.append(await _trial(proxy, served, server, probed=False))
            probed.append(await _trial(proxy, served, server, probed=True))
    with_them, without = ([percentile(times, share) for share in (0.5, 0.9)] for times in (probed, plain))
    return [
        Figure(
            "probe_time",
            with_them[1] - without[1],
            "s",
            "<= 0.5",
            f"p90 of {PAIRS} starts each way, {len(served.models)} models: {with_them[1]:.2f} s with them, "
            f"{without[1]:.2f} s without; medians {with_them[0]:.2f} s, {without[0]:.2f} s",
        )
    ]


async def _trial(proxy: LiteLLM, served: Served, server: ModelServer, *, probed: bool) -> float:
    """Give the seconds from a registrar's start until every row was written as it stays.

    Where no questions are put, that is each model's first row.
    """
    async with CountingProxy(proxy.urls[0]) as before:
        argv, env = container_process(
            _patched(served, server),
            CONTAINER_NAME,
            pod_ip=server.host,
            uid=str(uuid.uuid4()),
            node="node-1",
            secrets={SECRET: {"url": before.url, "key": proxy.key}, **served.secrets()},
        )
        command = [str(PYTHON), *(argv[1:] if probed else ("-c", WITHOUT))]
        with tempfile.TemporaryFile() as log:
            began = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *command, env=env, stdout=log, stderr=log, cwd=ROOT
            )
            try:
                return await _written(before, served, log, probed=probed) - began
            finally:
                process.kill()
                await process.wait()
                for key in {row["model_info"]["id"] for _, row in before.written}:
                    proxy.call("POST", "/model/delete", {"id": key})


async def _written(before: CountingProxy, served: Served, log: BinaryIO, *, probed: bool) -> float:
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        complete: dict[str, float] = {}
        for at, row in before.written:
            model = row["model_name"]
            if not probed or not served.models[model].wrong(row):
                complete.setdefault(model, at)
        if complete.keys() == served.models.keys():
            return max(complete.values())
        await asyncio.sleep(0.002)
    log.seek(0)
    raise RuntimeError(f"no complete rows after {LONGEST:g} s:\n{log.read().decode()}")


def _patched(served: Served, server: ModelServer) -> dict[str, Any]:
    """Give the pod of this server as the webhook lets it into the cluster."""
    pod = manifest(server, served.label, {}, **served.container(server))
    decision = inject(pod, Injection(cluster="bench", image="registrar:bench"), uuid.uuid4().hex)
    patched: dict[str, Any] = apply(pod, decision.ops)
    return patched
