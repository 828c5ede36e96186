"""What the registrar says of servers whose truth is known: the recorded answers, and the real servers."""

from contextlib import ExitStack
from typing import Any, Final

import httpx

from sidecar.contract import Credentials, Engine, PodIdentity, Settings
from sidecar.servers.server import ModelServer as Watched
from sidecar.servers.shapes import Answer
from tests.bench.figures import Figure
from tests.capabilities import table
from tests.peers.servers import ModelServer, computed, model_server
from tests.real.truth import GROUPS, Served

# A fact by (where it was seen, served id, name), with what is said, what is true, and whether a free question
# to the server tells it; None is "unknown".
Said = dict[tuple[str, str, str], tuple[Any, Any, bool]]
_SHOWN: Final = 5
_POLLS: Final = 3


async def measure() -> list[Figure]:
    """Give capability_truth, capability_unknowns and probe_tokens."""
    recorded = await _of_recorded()
    real, tokens = await _of_real()
    said = recorded | real
    wrong = [key for key, (found, true, _) in said.items() if found is not None and found != true]
    missing = [key for key, (found, _, told) in said.items() if told and found is None]
    models = {key[:2] for key in real}
    of = (
        f"of {len(said)} facts: {len(recorded)} of recorded answers, {len(real)} of {len(models)} real models"
    )
    told = sum(told for _, _, told in said.values())
    return [
        Figure("capability_truth", len(wrong), "wrong answers", "= 0", of + _named(wrong)),
        Figure(
            "capability_unknowns",
            len(missing),
            "unknowns",
            "= 0",
            f"of {told} facts that a server's API tells" + _named(missing),
        ),
        Figure(
            "probe_tokens",
            tokens,
            "tokens",
            "= 0",
            f"of real servers with {len(models)} models; a model that Ollama loads would count as one",
        ),
    ]


async def _of_recorded() -> Said:
    said: Said = {}
    for row in table.load():
        if row.recorded:
            found = await table.found(row)
            said |= {
                (row.name, *key): (found.get(key), row.expected.get(key), key in row.told)
                for key in found.keys() | row.expected.keys()
            }
    return said


async def _of_real() -> tuple[Said, int]:
    """Give what is found out about the real servers, and what it cost them, in tokens."""
    said: Said = {}
    tokens = 0
    for servers in GROUPS.values():
        with ExitStack() as stack:
            for served in servers:
                one = model_server(served.engine, *served.flags, logs=None, **served.env)
                server = stack.enter_context(one)
                said |= await look(served, server)
                tokens += computed(server)
    return said, tokens


async def look(served: Served, server: ModelServer) -> Said:
    """Look at a real server as a registrar does; give what it finds beside what is true."""
    settings = Settings(cluster="bench", engine=Engine(served.label), port=server.port, nonce="n")
    pod = PodIdentity("bench", served.name, "uid", server.host)
    async with httpx.AsyncClient(trust_env=False) as client:
        watched = Watched(settings, pod, Credentials(server_api_key=served.key), client)
        for _ in range(_POLLS):
            seen = await watched.observe()
    if not isinstance(seen, Answer) or {model.id for model in seen.models} != served.models.keys():
        raise RuntimeError(f"{served.name}: {seen}")
    said: Said = {}
    for model in seen.models:
        truth, facts = served.models[model.id], model.facts
        found = {
            **{f"supports_{ability}": fact.value for ability, fact in facts.abilities.items()},
            "mode": facts.mode.value,
            "context": facts.context.value,
            "embedding_size": facts.embedding_size.value,
            "quantization": facts.quantization.value,
        }
        told = truth.told()
        said |= {
            (served.name, model.id, key): (found.get(key), true, told[key] is not None)
            for key, true in truth.all().items()
        }
    return said


def _named(keys: list[tuple[str, str, str]]) -> str:
    shown = ", ".join(f"{name}: {model} {fact}" for name, model, fact in keys[:_SHOWN])
    return f"; {shown}" if shown else ""
