"""Attacks by bodies, heads and targets."""

from __future__ import annotations

import gzip
import json
from typing import Final

from tests.real.broker.attacks.making import (
    DONE,
    NEW,
    NO_HTTP,
    a,
    bodies,
    change,
    delete,
    get,
    look,
    new,
    raw,
    theirs,
)
from tests.real.broker.world import Sent, World

_OWN_TWICE: Final = b'{"id": "x", "id": "y"}'
BODIES: Final = (
    a(
        "no-json",
        "Bodies that are no JSON, or no object.",
        bodies(
            b"",
            b"null",
            b"[]",
            b"7",
            b'"x"',
            b"{",
            b"id=x",
            b"\xff\xfe{}",
            b"\xef\xbb\xbf{}",
            '{"id": "x"}'.encode("utf-16"),
            b'{"id": "\xff"}',
            b"{'id': 'x'}",
            b'{"id": NaN}',
            b'{"id": -Infinity}',
            b'{"id": 1e999}',
            b'{"id": "\\u0000"}',
            b'{"id": "\\ud800"}',
            b'{"\\ud800": 1}',
            b'{"id": ' + b"9" * 5000 + b"}",
            b"[" * 60000,
            b'{"a":' * 20000,
            b'{"id": "x"}{"id": "y"}',
            _OWN_TWICE,
            b'{"__proto__": {}}',
        ),
        "body_bad",
    ),
    a(
        "a-megabyte",
        "A body of a megabyte, said so.",
        lambda w: (
            new(w, {"model_info.my-note": "x" * 2**20}),
            change(w, {"model_info.my-note": "x" * 2**20}),
            delete("x" * 2**20),
        ),
        "body_too_large",
    ),
    a(
        "a-megabyte-in-pieces",
        "The same in pieces, of a length that nobody says.",
        lambda w: (
            new(w, headers={"Content-Length": None, "Transfer-Encoding": "chunked"})
            and Sent(
                "POST",
                "/model/new",
                b"10000\r\n"
                + b" " * 65536
                + b"\r\n"
                + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 16
                + b"0\r\n\r\n",
                {"Content-Length": None, "Transfer-Encoding": "chunked"},
            )
        ),
        "body_too_large",
    ),
    a(
        "gzip",
        "Bodies that would have to be unpacked.",
        lambda w: tuple(
            Sent(
                "POST",
                "/model/new",
                gzip.compress(json.dumps(w.attacker.row(NEW)).encode()),
                {"Content-Encoding": coding},
            )
            for coding in ("gzip", "deflate", "br", "identity, gzip", "zstd")
        ),
        "body_bad",
    ),
    a(
        "slow",
        "A body that does not come in.",
        lambda w: new(w, headers={"Content-Length": "100000"}),
        "body_bad",
    ),
    a(
        "get-with-a-body",
        "A reading with a body, said in two ways.",
        lambda w: (
            Sent("GET", f"/v2/model/info?modelId={w.mine}&size=1", b"{}"),
            Sent(
                "GET",
                "/registrar/pod",
                b"2\r\n{}\r\n0\r\n\r\n",
                {"Content-Length": None, "Transfer-Encoding": "chunked"},
            ),
        ),
        "body_bad",
    ),
)

_TARGETS: Final = (
    "/",
    "*",
    "/model/info",
    "/v1/model/info",
    "/model/block",
    "/model/unblock",
    "/model/update",
    "/key/list",
    "/key/generate",
    "/user/info",
    "/config/update",
    "/v1/models",
    "/v1/chat/completions",
    "/metrics",
    "/healthz",
    "/health",
    "/credentials",
    "//model/new",
    "/model//new",
    "/model/new/",
    "/model/new?",
    "/model/new?x=1",
    "/model/new#x",
    "/model/new;x",
    "/Model/new",
    "/model%2Fnew",
    "/%6dodel/new",
    "/model/new%00",
    "/model/../model/new",
    "/v2/%2e%2e/model/new",
    "/model\\new",
    "/model/new%3Fx",
    "https://127.0.0.1/model/new",
    "http://169.254.169.254/model/new",
    "model/new",
    "/model/{mine}/update/../../{theirs}/update",
    "/model/{mine}%2F..%2F{theirs}/update",
    "/model/{mine}/update?model_id={theirs}",
    "/model/{mine}/update#",
    "/model/{mine}//update",
    "/model/x/{mine}/update",
    "/model/" + "x" * 4000 + "/update",
)


def _targets(w: World) -> tuple[Sent, ...]:
    body = w.attacker.row(NEW)
    return tuple(
        Sent(method, target.replace("{mine}", w.mine).replace("{theirs}", theirs(w)), body)
        for target in _TARGETS
        for method in ("POST", "PATCH")
        if (method, target) != ("POST", "/model/new?")
    )


_MINE: Final = "GET /v2/model/info?modelId={mine}&size=1"
_THEIRS: Final = "GET /v2/model/info?modelId={theirs}&size=1"

HTTP: Final = (
    a(
        "targets",
        "Routes that no registrar asks, and spellings of those that it asks.",
        _targets,
        "route_unknown",
        "row_id",
        NO_HTTP,
    ),
    a(
        "readings",
        "Readings that no registrar asks.",
        lambda _: tuple(
            get(target)
            for target in (
                *_TARGETS[2:17],
                "/v2/model/info",
                "/v2/model/info?",
                "/v2/model/info/",
                "/registrar/pod?x=1",
                "/registrar/pod/",
                "/registrar/pod?pod=victim",
                "/health/readiness?x=1",
                "/health/readiness/../../key/list",
            )
        ),
        "route_unknown",
    ),
    a(
        "methods",
        "Other methods, real and made up.",
        lambda w: tuple(
            Sent(method, "/model/delete", {"id": w.mine})
            for method in ("DELETE", "PUT", "OPTIONS", "TRACE", "PROPFIND", "BREW")
        ),
        "route_unknown",
        NO_HTTP,
    ),
    a(
        "head",
        "The head of a reading.",
        lambda w: Sent("HEAD", f"/v2/model/info?modelId={theirs(w)}&size=1"),
        "route_unknown",
    ),
    a(
        "connect",
        "A tunnel to LiteLLM.",
        raw("CONNECT 127.0.0.1:4000 HTTP/1.1\nHost: 127.0.0.1:4000\n{auth}"),
        "route_unknown",
        NO_HTTP,
    ),
    a(
        "overrides",
        "Headers by which some proxies and frameworks take another request.",
        lambda w: look(
            w.mine,
            headers={
                "X-HTTP-Method-Override": "DELETE",
                "X-Original-URL": "/key/list",
                "X-Rewrite-URL": "/key/list",
                "X-Forwarded-Host": "x",
                "X-Forwarded-For": "127.0.0.1",
                "X-Forwarded-User": "admin",
                "Forwarded": "for=127.0.0.1",
                "X-Remote-User": "system:admin",
                "X-Registrar-Rule": "x",
                "X-Registrar-Pod": "victim",
                "X-Registrar-Namespace": w.victim.namespace,
                "Impersonate-User": "system:admin",
                "x-litellm-api-key": w.proxy.key,
                "Host": "litellm",
                "Accept": "text/html",
                "Range": "bytes=0-1",
            },
        ),
        DONE,
    ),
    a(
        "two-lengths",
        "Two lengths, or a length that is none.",
        raw(
            *(
                f"POST /model/new HTTP/1.1\nHost: x\n{{auth}}\n{lengths}"
                for lengths in (
                    "Content-Length: 2\nContent-Length: 40",
                    "Content-Length: 2, 2",
                    "Content-Length: +2",
                    "Content-Length: 0x2",
                    "Content-Length: -1",
                    "Content-Length: 2 2",
                    "Content-Length:",
                    "Content-Length: 99999999999999999999",
                )
            ),
            body="{}",
        ),
        NO_HTTP,
    ),
    a(
        "length-and-pieces",
        "A length and pieces: behind them a request that another reader would see.",
        raw(
            *(
                f"POST /model/new HTTP/1.1\nHost: x\n{{auth}}\n{both}"
                for both in (
                    "Content-Length: 6\nTransfer-Encoding: chunked",
                    "Transfer-Encoding: chunked\nContent-Length: 6",
                    "Transfer-Encoding: chunked\nTransfer-Encoding: identity",
                    "Transfer-Encoding: xchunked",
                    "Transfer-Encoding: chunked, identity",
                    "Transfer-Encoding:\x0bchunked",
                    "Transfer-Encoding : chunked",
                )
            ),
            body="0\r\n\r\nGET /key/list HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        NO_HTTP,
        "body_bad",
        "token_missing",
    ),
    a(
        "heads",
        "Heads that readers differ on.",
        raw(
            "POST /model/new HTTP/1.1\nHost: x\n{auth}\n X: folded",
            "POST /model/new HTTP/1.1\nHost: x\n{auth}\nX\x00: y",
            "POST /model/new HTTP/1.1\nHost: x\n{auth}\n: y",
            "POST /model/new HTTP/1.1\nHost: x\n{auth}\nA b: c",
            "POST  /model/new HTTP/1.1\nHost: x\n{auth}",
            "POST /model/new\x00 HTTP/1.1\nHost: x\n{auth}",
            "POST /model/new HTTP/9.9\nHost: x\n{auth}",
            "PRI * HTTP/2.0\n\nSM\n",
            "GET /x HTTP/1.1\nHost: x\nAuthorization: Bearer {auth}\x01",
            "GET /" + "x" * 9000 + " HTTP/1.1\nHost: x\n{auth}",
            "GET / HTTP/1.1\nHost: x\nX: " + "y" * 20000,
            "GET / HTTP/1.1\nHost: x\n" + "\n".join(f"X-{n}: y" for n in range(5000)),
            "\x16\x03\x01",
            "{auth}",
        ),
        NO_HTTP,
        "body_bad",
        "token_missing",
        "route_unknown",
        "token_refused",
    ),
    a(
        "old-http",
        "HTTP/1.0, and a wish for another protocol.",
        raw(
            f"{_THEIRS} HTTP/1.0\n{{auth}}",
            f"{_THEIRS} HTTP/1.1\nHost: x\n{{auth}}\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\n"
            "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
            f"{_THEIRS} HTTP/1.1\nHost: x\n{{auth}}\nConnection: Upgrade\nUpgrade: websocket\n"
            "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ),
        "row_id",
    ),
    a(
        "expectations",
        "Expectations that no server has.",
        raw("POST /model/new HTTP/1.1\nHost: x\n{auth}\nExpect: 200-ok\nContent-Length: 0"),
        "417",
        "body_bad",
    ),
    a(
        "pipeline",
        "Its own row, behind it the victim's, no token, no body: each is answered by what it has itself.",
        raw(
            f"{_MINE} HTTP/1.1\nHost: x\n{{auth}}\n\n{_THEIRS} HTTP/1.1\nHost: x\n{{auth}}\n\n"
            f"{_MINE} HTTP/1.1\nHost: x\n\nPOST /model/delete HTTP/1.1\nHost: x\n{{auth}}\n"
            "Connection: close\nContent-Length: 2",
            body="{}",
        ),
        DONE,
        "row_id",
        "token_missing",
        "body_bad",
    ),
)
