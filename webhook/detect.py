"""The model server of a pod: which container, where and how it answers. Read from the raw pod alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.contract import Engine
from webhook import ports
from webhook.candidates import choose
from webhook.layer import PREFIX
from webhook.pods import labels_of, mapping, objects
from webhook.reasons import Problem, Reason
from webhook.sources import programs
from webhook.sources.container import Reading
from webhook.sources.options import Serving
from webhook.sources.programs import Program
from webhook.sources.text import is_known, readable, variable_of
from webhook.wishes import Wishes

# On every pod of a LeaderWorkerSet; the leader has index 0 from its template, a worker gets its index
# from a webhook that may run after ours (sigs.k8s.io/lws, pkg/webhooks/pod_webhook.go).
_LWS_NAME: Final = "leaderworkerset.sigs.k8s.io/name"
_LWS_INDEX: Final = "leaderworkerset.sigs.k8s.io/worker-index"
_PORT_DIGITS: Final = 5
_LOOPBACK: Final = frozenset({"localhost", "::1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Server:
    """The model server of a pod.

    `index` counts in `spec.containers`. `host` is what LiteLLM calls in place of the pod's IP, if anything.
    `api_key` is the body of an env entry: `{"value": ...}`, or `{"valueFrom": ...}` as it stands in the pod.
    """

    index: int
    name: str
    engine: Engine
    port: int
    scheme: str
    host: str | None
    path: str
    served_names: tuple[str, ...]
    api_key: Mapping[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Meant:
    """What is asked about: one server in one container. `certain`: its whole command line was read."""

    candidate: Reading
    program: Program
    serving: Serving
    certain: bool

    @property
    def path(self) -> str:
        """The field of the container that says what it runs."""
        container = self.candidate.container
        field = next((key for key in ("args", "command", "image") if container.get(key)), "image")
        return f"{self.candidate.path}.{field}"


def detect(pod: Mapping[str, Any], engine: Engine, wishes: Wishes, path: str = "spec") -> Server | Problem:
    """Find the server of a pod whose spec stands at `path`; a Problem says what would settle it."""
    labels = labels_of(pod)
    if _LWS_NAME in labels and labels.get(_LWS_INDEX) != "0":
        return Problem(Reason.NOT_LEADER, "a worker of a LeaderWorkerSet; only its leader serves", path)
    chosen = choose(mapping(pod.get("spec")), engine, wishes, path)
    if isinstance(chosen, Problem):
        return chosen
    reading = _reading(chosen, engine, wishes)
    return reading if isinstance(reading, Problem) else _server(reading, engine, wishes)


def _reading(candidate: Reading, engine: Engine, wishes: Wishes) -> _Meant | Problem:
    """Settle which server of the container is meant, if it starts several."""
    if not candidate.runs:
        program = programs.UNKNOWN[engine]
        serving = program.read(candidate.words[1:], candidate.env)
        return _Meant(candidate, program, serving, certain=not candidate.unreadable)
    readings = [_Meant(candidate, run.program, run.serving, certain=True) for run in candidate.runs]
    readings = [r for r in readings if r.program.suits(engine)] or readings
    by_port = {r.serving.port or str(r.program.port): r for r in reversed(readings)}
    if wishes.port is None and len(by_port) > 1:
        listed = ", ".join(readable(port) for port in reversed(by_port))
        message = f"{candidate.name} starts servers on ports {listed}; choose one in {PREFIX}port"
        return Problem(Reason.SEVERAL_SERVERS, message, readings[0].path)
    return by_port.get(str(wishes.port), readings[0])


def _server(reading: _Meant, engine: Engine, wishes: Wishes) -> Server | Problem:
    serving, candidate = reading.serving, reading.candidate
    unreachable = _unreachable(reading, wishes)
    if unreachable:
        return unreachable
    port = wishes.port or _port(reading)
    if isinstance(port, Problem):
        return port
    scheme = wishes.scheme or _scheme(reading, port)
    if scheme == "https" and wishes.host is None:
        message = f"the server has TLS; say in {PREFIX}host which name its certificate holds"
        return Problem(Reason.TLS_NEEDS_HOST, message, reading.path)
    path = serving.path if wishes.path is None else wishes.path
    if not is_known(path):
        return _unresolvable(reading, f"the path prefix is {readable(path)}", "path")
    key = _api_key(reading)
    if isinstance(key, Problem):
        return key
    if engine is Engine.AUTO and candidate.runs and reading.program.engine is not Engine.OPENAI:
        engine = reading.program.engine
    return Server(
        index=candidate.index,
        name=candidate.name,
        engine=engine,
        port=port,
        scheme=scheme,
        host=wishes.host,
        path=f"/{path.strip('/')}" if path.strip("/") else "",
        served_names=tuple(name for name in serving.served_names if is_known(name)),
        api_key=key,
    )


def _unreachable(reading: _Meant, wishes: Wishes) -> Problem | None:
    """Name what keeps everyone outside the container from the server, if that is certain."""
    serving = reading.serving
    if not serving.served:
        return Problem(Reason.NO_SERVER, f"{reading.program.name} is told not to serve HTTP", reading.path)
    if wishes.port is not None:
        return None
    if serving.unix_socket:
        message = f"it listens on {readable(serving.unix_socket)}; a proxy before it goes in {PREFIX}port"
        return Problem(Reason.UNIX_SOCKET, message, reading.path)
    if serving.host and (serving.host in _LOOPBACK or serving.host.startswith("127.")):
        message = f"it listens on {serving.host} only, where LiteLLM cannot reach it; 0.0.0.0 opens it"
        return Problem(Reason.LOOPBACK_ONLY, message, reading.path)
    return None


def _port(reading: _Meant) -> int | Problem:
    told = reading.serving.port
    if told is not None and is_known(told):
        if (
            told.isascii()
            and told.isdigit()
            and len(told) <= _PORT_DIGITS
            and 0 < int(told) <= ports.MAX_PORT
        ):
            return int(told)
        message = f"the port is {told[:40]!r}, allowed is 1 to {ports.MAX_PORT}"
        return Problem(Reason.PORT_UNKNOWN, message, reading.path)
    hidden = _hidden(reading)
    own = reading.program.port
    port = ports.declared_port(reading.candidate.container, own, certain=not hidden)
    if port is not None:
        return port
    if hidden:
        return _unresolvable(reading, hidden, "port")
    if own is not None:
        return own
    return Problem(Reason.PORT_UNKNOWN, f"no single port is declared; say it in {PREFIX}port", reading.path)


def _hidden(reading: _Meant) -> str:
    """Say what keeps the port from being read off the command line; empty if nothing does."""
    if reading.serving.port is not None:
        return f"the port is {readable(reading.serving.port)}"
    if reading.candidate.unreadable and not reading.certain:
        return f"the port stands in a script, of which nothing can be told: {reading.candidate.unreadable}"
    return "a config file or a variable may name the port" if reading.serving.open else ""


def _scheme(reading: _Meant, port: int) -> str:
    tls = reading.serving.tls or ports.probe_is_https(reading.candidate.container, port)
    return "https" if tls else "http"


def _api_key(reading: _Meant) -> Mapping[str, Any] | Problem | None:
    text = reading.serving.api_key
    if not text:
        return None
    if is_known(text):
        return {"value": text}
    name = variable_of(text)
    # The last entry of a name counts, as in the kubelet.
    for _, entry in reversed(list(objects(reading.candidate.container.get("env")))):
        if name and entry.get("name") == name and entry.get("valueFrom") is not None:
            return {"valueFrom": entry["valueFrom"]}
    message = (
        "the API key is known only in the running container; an env entry that is the whole key can be copied"
    )
    return Problem(Reason.COMMAND_UNRESOLVABLE, message, reading.path)


def _unresolvable(reading: _Meant, what: str, annotation: str) -> Problem:
    message = f"{what}, known only in the running container; say it in {PREFIX}{annotation}"
    return Problem(Reason.COMMAND_UNRESOLVABLE, message, reading.path)
