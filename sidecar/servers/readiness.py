"""The server container's own readiness probe, asked as the kubelet asks it (kubernetes, pkg/probe)."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from http import HTTPStatus

import httpx

from sidecar.contract import ReadyCheck
from sidecar.row_contract import bracketed


async def failing(check: ReadyCheck, address: str) -> str | None:
    """Say why the probe fails at this IP address, None if it passes, within `check.timeout` seconds."""
    what = f"{check.scheme} probe of port {check.port}" if check.path is None else f"probe of {check.path}"
    try:
        async with asyncio.timeout(check.timeout):
            if check.path is None:
                await _connect(address, check.port)
                return None
            status = await _get(check, check.path, address)
    except TimeoutError:
        return f"{what}: no answer within {check.timeout:g} s"
    except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{what}: {type(error).__name__}: {error}"
    passes = HTTPStatus.OK <= status < HTTPStatus.BAD_REQUEST
    return None if passes else f"{what}: HTTP {status}"


async def accepts(address: str, port: int, seconds: float) -> bool:
    """Tell whether something accepts connections there."""
    try:
        async with asyncio.timeout(seconds):
            await _connect(address, port)
    except OSError:  # TimeoutError is one
        return False
    return True


async def _connect(address: str, port: int) -> None:
    _, writer = await asyncio.open_connection(address, port)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _get(check: ReadyCheck, path: str, address: str) -> int:
    scheme = check.scheme.lower()
    host = bracketed(address)
    # The kubelet does not verify certificates in probes; no credentials go this way.
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    async with (
        httpx.AsyncClient(verify=tls, trust_env=False, timeout=check.timeout) as client,
        client.stream(
            "GET", f"{scheme}://{host}:{check.port}{path}", headers=list(check.headers)
        ) as response,
    ):
        return response.status_code
