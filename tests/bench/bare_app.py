"""The webhook benchmarks' baseline: a bare aiohttp TLS app that parses a review and allows it.

`python -m tests.bench.bare_app CERT KEY PORT`
"""

import json
import ssl
import sys

from aiohttp import web


async def allow(request: web.Request) -> web.Response:
    """Parse, allow, answer: the least that any webhook does."""
    review = json.loads(await request.read())
    answer = {
        "apiVersion": review["apiVersion"],
        "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": True},
    }
    return web.Response(body=json.dumps(answer).encode(), content_type="application/json")


def main() -> None:
    """Serve until SIGTERM."""
    cert, key, port = sys.argv[1:]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    app = web.Application(client_max_size=8 * 1024 * 1024)
    for path in ("/mutate", "/validate"):
        app.router.add_post(path, allow)
    web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=context, access_log=None, print=None)


if __name__ == "__main__":
    main()
