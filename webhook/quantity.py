"""Resource quantities: amounts, counts, how people write them, quality of service class. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_UP, Decimal
from typing import Any, Final

from webhook.pods import mapping

_BINARY: Final = {f"{prefix}i": Decimal(1024) ** power for power, prefix in enumerate("KMGTPE", start=1)}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
# Serialised forms of apimachinery's pkg/api/resource/quantity.go, bounded so that no arithmetic on them can
# grow: the API server caps values at 2**63 - 1 and rounds them up to 10**-9.
_QUANTITY: Final = re.compile(
    r"([+-]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40}))(?:([KMGTPE]i)|[eE]([+-]?[0-9]{1,3})|([numkMGTPE]?))"
)
_MAX: Final = Decimal(2**63 - 1)
# Digits of a count that certainly is below that.
_PLAIN: Final = 18
# Amounts below 1Mi are written plainly: 1024 CPUs are not 1Ki.
_READABLE: Final = tuple(reversed(list(_BINARY.items())[1:]))
_NANO: Final = Decimal("1e-9")
_QOS_RESOURCES: Final = ("cpu", "memory")


def parse(quantity: object) -> Decimal:
    """Give the amount of a quantity such as `250m`, `1.5Gi`, `1e3` or a plain number. Raises ValueError."""
    if isinstance(quantity, str):
        return _parse(quantity)
    if isinstance(quantity, dict | list):  # written out, one of them can be deeper than the stack
        raise ValueError("an object or a list is no quantity; allowed are a number and a suffix")
    return _parse(str(quantity))


def whole(quantity: object) -> int:
    """Give a count, as of devices: a whole number from 0, however it is written. Raises ValueError."""
    if type(quantity) is int and 0 <= quantity <= _MAX:
        return quantity
    if isinstance(quantity, str) and len(quantity) <= _PLAIN and quantity.isascii() and quantity.isdigit():
        return int(quantity)
    amount = parse(quantity)
    if amount < 0 or amount != amount.to_integral_value():
        raise ValueError(f"{quantity!r} is no whole number from 0")
    return int(min(amount, _MAX))


def text(amount: Decimal) -> str:
    """Write an amount down as people do: `512Gi` where it comes out even, else a plain number."""
    amount = min(amount, _MAX)
    for suffix, size in _READABLE:
        if amount >= size and amount % size == 0:
            return f"{amount // size}{suffix}"
    return f"{amount.quantize(_NANO, ROUND_UP).normalize():f}"


@functools.lru_cache(maxsize=256)  # pods repeat the same few quantities
def _parse(text: str) -> Decimal:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no quantity; allowed are a number and a suffix, as in 250m, 0.5, 64Mi")
    number, binary, exponent, suffix = found.groups()
    if binary:
        return Decimal(number) * _BINARY[binary]
    return Decimal(number).scaleb(int(exponent) if exponent else _DECIMAL[suffix])


def guaranteed(containers: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether a pod of these containers (init containers too) has the class Guaranteed.

    Every one must limit CPU and memory, and request as much as the limit (a request that is not given
    is the limit). ComputePodQOS in pkg/apis/core/v1/helper/qos compares the sums, which for a valid pod
    (no request above its limit) is the same. Pod-level resources are for the caller to look at.
    """
    return all(_fixed(mapping(container.get("resources"))) for container in containers)


def _fixed(resources: Mapping[str, Any]) -> bool:
    limits, requests = mapping(resources.get("limits")), mapping(resources.get("requests"))
    try:
        for name in _QOS_RESOURCES:
            limit = parse(limits.get(name, 0))
            if limit <= 0 or (name in requests and parse(requests[name]) != limit):
                return False
    except ValueError:  # the API server never sends such a quantity: a pod with one is no valid pod
        return False
    return True
