"""How much of anything the broker takes. Pure.

An honest registrar stays below: what owners may write is bounded by the annotations' table (`documents`),
what servers say of their models by the registrar (`LONGEST` in sidecar/servers/listing.py).
"""

from __future__ import annotations

from typing import Final

# Of a request, in bytes. The longest that owners may say of one model is what an environment variable of its
# registrar holds (MAX_ARG_STRLEN of Linux, 128 KiB); rows as they are have some 2 KB.
MAX_BODY: Final = 128 * 1024
# Of the part of a request's target before its query, and of the query; names are up to 253 characters, each
# up to 12 bytes when percent-encoded.
MAX_PATH: Final = 256
MAX_QUERY: Final = 4096
# Levels of objects and lists in a body: documents of annotations have up to 10, below two of the row.
MAX_DEPTH: Final = 13
# Characters of a text in the ownership block.
MAX_TEXT: Final = 1024
# Names of what nobody knows of a model, in the ownership block.
MAX_UNKNOWN: Final = 64
# Characters of a server's API key.
MAX_API_KEY: Final = 4096
# Keys that a registrar newer than the broker may send in vain.
MAX_LEFT_OUT: Final = 32
# Rows of one pod: an Ollama may have dozens of models, each with aliases.
ROWS_PER_POD: Final = 200
# Rows of one namespace.
ROWS_PER_NAMESPACE: Final = 2000
# Characters of a text of LiteLLM's that is passed on.
MAX_SAID: Final = 2000
