"""The smallest pictures, sounds and films a model server takes, as base64. Pure."""

from __future__ import annotations

import random
import struct
import zlib
from base64 import b64encode
from typing import Final

# Some image processors refuse or drop pictures of less than a patch or two (14 to 32 pixels).
SIDE: Final = 64
# Speech encoders make nothing of less than some hundredths of a second: one second, at their usual rate.
_RATE: Final = 16_000
# Video encoders take frames in pairs.
_FRAMES: Final = 4


def picture(side: int = SIDE, *, noise: bool = False) -> str:
    """Give a square PNG (W3C, Portable Network Graphics) of so many pixels a side: grey, or coloured noise.

    Noise cannot be compressed, so that its base64 grows with its area; it is the same at each call.
    """
    row = 3 * side
    pixels = random.Random(side).randbytes(row * side) if noise else b"\x80" * row * side  # noqa: S311 - no secret
    lines = b"".join(b"\0" + pixels[at : at + row] for at in range(0, len(pixels), row))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)  # 8 bits a channel, RGB
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)).decode()


def sound() -> str:
    """Give a second of silence as WAV (RIFF, one channel of 16-bit samples)."""
    samples = bytes(2 * _RATE)
    form = struct.pack("<IHHIIHH", 16, 1, 1, _RATE, 2 * _RATE, 2, 16)
    body = b"WAVEfmt " + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b64encode(b"RIFF" + struct.pack("<I", len(body)) + body).decode()


def film() -> str:
    """Give a film as vLLM takes one without a video codec: still pictures, each in base64, between commas.

    From vllm/multimodal/media/video.py, VideoMediaIO.load_base64, for the media type video/jpeg; any format
    that PIL knows will do.
    """
    return ",".join([picture()] * _FRAMES)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
