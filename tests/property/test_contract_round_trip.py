"""Settings survive the way through a pod's environment, whatever they hold."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.contract import (
    Alias,
    CloudModels,
    Engine,
    LogFormat,
    Override,
    Probing,
    ReadyCheck,
    ServedNames,
    Settings,
    WhenAsleep,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
SECONDS = st.floats(min_value=0, max_value=1e9, allow_nan=False)
PORT = st.integers(1, 65535)
CHECK = st.builds(
    ReadyCheck,
    port=PORT,
    scheme=st.sampled_from(["http", "https"]),
    path=st.none() | TEXT,
    headers=st.lists(st.tuples(TEXT, TEXT)).map(tuple),
    timeout=SECONDS,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
PATTERN = st.sampled_from(["", "^qwen", "-(awq|gptq)$", r"\$\(A\)", "é"])
ALIASES = st.lists(st.builds(Alias, name=TEXT, model=st.none() | TEXT), max_size=3).map(tuple)
OVERRIDES = st.lists(
    st.builds(Override, match=PATTERN, model_info=OBJECT, litellm_params=OBJECT), max_size=3
).map(tuple)
SETTINGS = st.builds(
    Settings,
    cluster=TEXT,
    engine=st.sampled_from(Engine),
    port=PORT,
    nonce=TEXT,
    scheme=st.sampled_from(["http", "https"]),
    host=st.none() | TEXT,
    path=TEXT,
    server_ready=st.none() | CHECK,
    model_name=st.none() | TEXT,
    name_template=TEXT,
    provider=st.none() | TEXT,
    include=st.none() | PATTERN,
    exclude=st.none() | PATTERN,
    aliases=ALIASES,
    served_names=st.sampled_from(ServedNames),
    cloud_models=st.sampled_from(CloudModels),
    when_asleep=st.sampled_from(WhenAsleep),
    probing=st.sampled_from(Probing),
    mode=st.none() | TEXT,
    model_info=OBJECT,
    litellm_params=OBJECT,
    overrides=OVERRIDES,
    poll_interval=SECONDS,
    propagation=SECONDS,
    drain_timeout=SECONDS,
    grace_period=SECONDS,
    ready_timeout=SECONDS,
    listen_port=PORT,
    log_format=st.sampled_from(LogFormat),
    contract=st.integers(1, 10_000),
)


@given(SETTINGS)
def test_from_env_reads_what_to_env_wrote(settings: Settings) -> None:
    """Every field comes back as it was, and every value is text an environment can hold."""
    environ = settings.to_env()
    assert all(isinstance(value, str) and "\0" not in value for value in environ.values())
    assert Settings.from_env(environ) == settings
