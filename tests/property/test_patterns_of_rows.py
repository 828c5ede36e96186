"""A law of LiteLLM's names with `*`."""

import re

from hypothesis import given
from hypothesis import strategies as st

from webhook.broker.row_index import catches

TEXT = st.text("ab/.*", max_size=8)


@given(TEXT, TEXT)
def test_a_pattern_takes_what_litellms_regular_expression_takes(pattern: str, name: str) -> None:
    """The same as `pattern_to_regex` and `re.match`, in linear time (litellm/router_utils, 1.106)."""
    regex = re.escape(pattern).replace(r"\*", "(.*)")
    assert catches(pattern, name) is (re.match(regex, name) is not None)
