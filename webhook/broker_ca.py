"""The certificates that the broker is verified by, on their way into pods: from a file, or as published.

What is written into pods stays in them for as long as they live, so nothing gets there but certificates.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

from webhook.config import ConfigError
from webhook.followed_file import FollowedFile
from webhook.log import Log
from webhook.tls import certificates
from webhook.tls.certificates import CertificateError
from webhook.tls.publication import BUNDLE_KEY

FLAG: Final = "broker-ca"
# 48 certificates (`webhook.tls.rotation.MAX_BUNDLE`) of 2 KiB. Every pod carries it in a variable, of which
# Linux takes up to 128 KiB (MAX_ARG_STRLEN in include/uapi/linux/binfmts.h).
MAX_BUNDLE: Final = 96 * 1024
_BEGIN: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]*)-----")
_CERTIFICATE: Final = "CERTIFICATE"


def parse(text: str) -> str:
    """Read a bundle of PEM certificates, and give it with nothing but these, each once.

    Raises ConfigError for a bundle without certificates, with one that cannot be read, with anything else in
    PEM (a private key would be written into every pod), or larger than `MAX_BUNDLE`.
    """
    if len(text) > MAX_BUNDLE:
        raise ConfigError([f"found {len(text)} characters, allowed are up to {MAX_BUNDLE}"])
    kinds = _BEGIN.findall(text)
    if others := sorted({kind for kind in kinds if kind != _CERTIFICATE}):
        raise ConfigError([f"found {', '.join(others)}, allowed are certificates alone"])
    blocks = certificates.split(text.encode())
    if not blocks or len(blocks) != len(kinds):
        raise ConfigError(
            [f"found {len(blocks)} whole certificates in PEM, needed is one at least, and no part"]
        )
    read, problems = [], []
    for number, block in enumerate(blocks, 1):
        try:
            read.append(certificates.load(block).public_bytes(Encoding.PEM))
        except CertificateError as error:
            problems.append(f"certificate {number} of {len(blocks)}: {error}")
    if problems:
        raise ConfigError(problems)
    return b"".join(dict.fromkeys(read)).decode()


def broker_ca_file(path: str, log: Log, use: Callable[[str], None]) -> FollowedFile[str]:
    """Give the file of certificates; without a path there is none."""
    return FollowedFile(path, FLAG, log, parse=parse, use=use, told=_told)


def _told(bundle: str) -> dict[str, int]:
    return {"certificates": len(certificates.split(bundle.encode()))}


class PublishedCa:
    """The broker's certificates as they stand in its ConfigMap.

    `take` gets the object whenever it changes, None while there is none. What is absent or bad is said once,
    and the last good bundle counts; `good` tells whether what counts is what is published.
    """

    def __init__(self, name: str, log: Log, use: Callable[[str], None]) -> None:
        self._name = name
        self._log = log
        self._use = use
        self._bundle = ""
        self._told = ""
        self.good = False

    def take(self, found: dict[str, Any] | None) -> None:
        """Take the ConfigMap as it is now."""
        try:
            bundle = self._read(found)
        except ConfigError as error:
            self.good = False
            self._say(error.problems[0])
            return
        self.good, self._told = True, ""
        if bundle == self._bundle:
            return
        self._bundle = bundle
        self._use(bundle)
        self._log.say(
            FLAG.upper(),
            "Pods that are made from now on get these certificates of the broker",
            configmap=self._name,
            **_told(bundle),
        )

    def _read(self, found: dict[str, Any] | None) -> str:
        if found is None:
            raise ConfigError(["there is none of this name"])
        text = (found.get("data") or {}).get(BUNDLE_KEY)
        if not isinstance(text, str):
            raise ConfigError([f"it has no {BUNDLE_KEY}"])
        return parse(text)

    def _say(self, problem: str) -> None:
        if problem == self._told:
            return
        self._told = problem
        counts = "the last good one counts" if self._bundle else "no pod gets a registrar until it is"
        self._log.say(
            "PROBLEM",
            f"The ConfigMap of --broker-ca-configmap is not taken, {counts}: {problem}",
            configmap=self._name,
        )
