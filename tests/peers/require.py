"""What a test needs and this machine may not have: a skip here, a failure where nothing may be skipped."""

import os
from collections.abc import Sequence

import pytest


def require(how_to_get: str, missing: Sequence[str]) -> None:
    """Skip the test, or fail it with CI=true or REQUIRE_PEERS=1, when something is missing."""
    if not missing:
        return
    reason = f"missing: {', '.join(missing)}; {how_to_get}"
    if os.environ.get("CI") == "true" or os.environ.get("REQUIRE_PEERS") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
