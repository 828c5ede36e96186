"""Settings of every process that serves."""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecar.contract import LogFormat
from webhook.flags import PORT, SECONDS, one_of, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """Where it listens, how it begins to stop, how it logs; times in seconds."""

    listen_address: str = field(
        default="", metadata=setting("address of both ports; empty is every interface")
    )
    health_port: int = field(
        default=8080, metadata=setting("port of /healthz, /readyz and /metrics, HTTP", *PORT)
    )
    stop_delay: float = field(
        default=5.0,
        metadata=setting(
            "after SIGTERM, how long to go on serving while /readyz says 503, so that endpoints notice",
            *SECONDS,
        ),
    )
    log_format: LogFormat = field(
        default=LogFormat.TEXT, metadata=setting("how log lines are written", *one_of(LogFormat))
    )
