"""The contract between webhook and registrar: environment in, settings out, every fault named."""

from dataclasses import fields, replace

import pytest

from sidecar.contract import (
    CONTRACT_VERSION,
    ENV_CONTRACT,
    CloudModels,
    ContractError,
    Credentials,
    Engine,
    LogFormat,
    PodIdentity,
    Probing,
    ReadyCheck,
    ServedNames,
    Settings,
    WhenAsleep,
)

SETTINGS = Settings(cluster="c1", engine=Engine.VLLM, port=8000, nonce="n0nce")


def test_the_names_of_the_variables_stay() -> None:
    """A registrar meets webhooks that are newer and older: names are only ever added."""
    names = {field.metadata["env"] for field in fields(Settings)}
    assert names >= {
        "REGISTRAR_CLUSTER",
        "REGISTRAR_ENGINE",
        "REGISTRAR_SERVER_PORT",
        "REGISTRAR_NONCE",
        "REGISTRAR_SERVER_SCHEME",
        "REGISTRAR_SERVER_HOST",
        "REGISTRAR_SERVER_PATH",
        "REGISTRAR_SERVER_READY",
        "REGISTRAR_MODEL_NAME",
        "REGISTRAR_NAME_TEMPLATE",
        "REGISTRAR_PROVIDER",
        "REGISTRAR_INCLUDE",
        "REGISTRAR_EXCLUDE",
        "REGISTRAR_ALIASES",
        "REGISTRAR_SERVED_NAMES",
        "REGISTRAR_CLOUD_MODELS",
        "REGISTRAR_WHEN_ASLEEP",
        "REGISTRAR_PROBE",
        "REGISTRAR_MODE",
        "REGISTRAR_MODEL_INFO",
        "REGISTRAR_LITELLM_PARAMS",
        "REGISTRAR_OVERRIDES",
        "REGISTRAR_POLL_INTERVAL",
        "REGISTRAR_PROPAGATION",
        "REGISTRAR_DRAIN_TIMEOUT",
        "REGISTRAR_GRACE_PERIOD",
        "REGISTRAR_READY_TIMEOUT",
        "REGISTRAR_LISTEN_PORT",
        "REGISTRAR_LOG_FORMAT",
        "REGISTRAR_CONTRACT",
    }
    assert len(names) == len(fields(Settings))


def test_what_is_not_set_has_no_variable() -> None:
    """None is absence, not the text "None"."""
    written = SETTINGS.to_env()
    assert "REGISTRAR_MODEL_NAME" not in written
    assert "REGISTRAR_SERVER_READY" not in written
    assert written["REGISTRAR_LOG_FORMAT"] == "text"


def test_a_choice_at_its_default_has_no_variable() -> None:
    """Pods whose owner says nothing of these stay as small as they were; another choice is written."""
    quiet = {"REGISTRAR_SERVED_NAMES", "REGISTRAR_CLOUD_MODELS", "REGISTRAR_WHEN_ASLEEP", "REGISTRAR_PROBE"}
    assert not quiet & set(SETTINGS.to_env())
    loud = replace(
        SETTINGS,
        served_names=ServedNames.FIRST,
        cloud_models=CloudModels.REGISTER,
        when_asleep=WhenAsleep.ROUTE,
        probing=Probing.ACTIVE,
    )
    assert quiet <= set(loud.to_env())


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("REGISTRAR_INCLUDE", "(a+)+$", "a repeat of what can match in several ways at position 4"),
        ("REGISTRAR_EXCLUDE", "(", "a bracket ( that is not closed at position 0"),
        ("REGISTRAR_SERVED_NAMES", "some", "'some' is not a valid ServedNames"),
        ("REGISTRAR_ALIASES", "{}", "found dict, a JSON list is needed"),
        ("REGISTRAR_ALIASES", "[1]", "found int, a JSON object is needed"),
        ("REGISTRAR_ALIASES", '[{"name":1}]', "found int, a JSON text is needed"),
        ("REGISTRAR_ALIASES", '[{"name":"a","model":[]}]', "found list, a JSON text is needed"),
        ("REGISTRAR_MODEL_INFO", "[]", "found list, a JSON object is needed"),
        ("REGISTRAR_LITELLM_PARAMS", "{", "Expecting property name"),
        ("REGISTRAR_LITELLM_PARAMS", "[" * 100_000, "nested too deeply"),
        ("REGISTRAR_OVERRIDES", "[{}]", "found NoneType, a JSON text is needed"),
        ("REGISTRAR_OVERRIDES", '[{"match":"(a*)*"}]', "a repeat of what may be empty at position 4"),
        ("REGISTRAR_OVERRIDES", '[{"match":"a","model_info":[1]}]', "found list, a JSON object is needed"),
    ],
)
def test_what_an_owner_said_and_cannot_be_read(name: str, text: str, told: str) -> None:
    """Each is a fault of its variable; no other error leaves from_env."""
    with pytest.raises(ContractError) as caught:
        Settings.from_env({**SETTINGS.to_env(), name: text})
    assert str(caught.value).startswith(f"{name}=")
    assert told in str(caught.value)


def test_what_the_first_webhook_wrote_is_read_as_before() -> None:
    """A registrar's image may be newer than the webhook: what contract 1 did not know is at its default."""
    written = {
        "REGISTRAR_CLUSTER": "c1",
        "REGISTRAR_ENGINE": "vllm",
        "REGISTRAR_SERVER_PORT": "8000",
        "REGISTRAR_NONCE": "n0nce",
        "REGISTRAR_SERVER_SCHEME": "http",
        "REGISTRAR_SERVER_PATH": "",
        "REGISTRAR_NAME_TEMPLATE": "{model}",
        "REGISTRAR_PROVIDER": "openai",
        "REGISTRAR_POLL_INTERVAL": "5.0",
        "REGISTRAR_PROPAGATION": "35.0",
        "REGISTRAR_DRAIN_TIMEOUT": "120.0",
        "REGISTRAR_GRACE_PERIOD": "165.0",
        "REGISTRAR_READY_TIMEOUT": "120.0",
        "REGISTRAR_LISTEN_PORT": "9469",
        "REGISTRAR_LOG_FORMAT": "text",
        "REGISTRAR_CONTRACT": "1",
    }
    assert Settings.from_env(written) == replace(SETTINGS, provider="openai", contract=1)


def test_unknown_variables_are_no_error() -> None:
    """What a newer webhook adds is ignored."""
    environ = {**SETTINGS.to_env(), "REGISTRAR_FROM_THE_FUTURE": "x", "HOME": "/"}
    assert Settings.from_env(environ) == SETTINGS


def test_a_newer_contract_can_be_read() -> None:
    """A higher number is read like any other; the registrar says so and lives with it."""
    newer = replace(SETTINGS, contract=CONTRACT_VERSION + 1)
    assert Settings.from_env(newer.to_env()).contract == CONTRACT_VERSION + 1


def test_every_missing_and_bad_variable_is_named_at_once() -> None:
    """One error tells everything, with what was found and what is allowed, and never the nonce."""
    environ = {
        "REGISTRAR_ENGINE": "vllmm",
        "REGISTRAR_SERVER_PORT": "70000",
        "REGISTRAR_POLL_INTERVAL": "nan",
        "REGISTRAR_DRAIN_TIMEOUT": "-1",
        "REGISTRAR_PROPAGATION": "soon",
        "REGISTRAR_SERVER_READY": "[]",
        "REGISTRAR_NONCE": "n0nce",
        ENV_CONTRACT: "one",
    }
    with pytest.raises(ContractError) as caught:
        Settings.from_env(environ)
    text = str(caught.value)
    assert "REGISTRAR_CLUSTER is missing" in text
    for name in set(environ) - {"REGISTRAR_NONCE"}:
        assert f"{name}={environ[name]!r}" in text
    assert "n0nce" not in text


def test_the_nonce_is_not_in_the_repr() -> None:
    """Settings printed by accident do not open the drain."""
    assert "n0nce" not in repr(SETTINGS)


def test_an_identity_names_what_is_missing() -> None:
    """Each downward variable that is absent or empty is named; the node may be."""
    environ = {"REGISTRAR_NAMESPACE": "team", "REGISTRAR_POD": "", "REGISTRAR_POD_UID": "u1"}
    with pytest.raises(ContractError, match=r"REGISTRAR_POD is missing; REGISTRAR_POD_IP is missing"):
        PodIdentity.from_env(environ)
    whole = {**environ, "REGISTRAR_POD": "qwen-0", "REGISTRAR_POD_IP": "fd00::5"}
    assert PodIdentity.from_env(whole) == PodIdentity("team", "qwen-0", "u1", "fd00::5")


def test_credentials_may_be_absent_and_never_show() -> None:
    """White space around a value and an empty value are no value; no key is in the repr."""
    environ = {
        "REGISTRAR_LITELLM_URL": " http://litellm:4000\n",
        "REGISTRAR_LITELLM_KEY": "sk-1234\n",
        "REGISTRAR_LITELLM_CA": "  ",
        "REGISTRAR_SERVER_API_KEY": "",
    }
    credentials = Credentials.from_env(environ)
    assert credentials == Credentials("http://litellm:4000", "sk-1234")
    assert credentials.secrets() == ("sk-1234",)
    assert "sk-1234" not in repr(credentials)
    assert Credentials.from_env({}) == Credentials()


def test_a_key_that_litellm_would_resolve_is_refused() -> None:
    """LiteLLM would send the model server one of its own secrets; the message does not show the key."""
    Credentials(server_api_key="sk-os.environ/").check()
    with pytest.raises(ContractError, match="REGISTRAR_SERVER_API_KEY: begins with") as caught:
        Credentials(server_api_key="os.environ/LITELLM_MASTER_KEY").check()
    assert "MASTER" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"port":"8000"}', "null", "{"])
def test_a_ready_check_that_cannot_be_read(text: str) -> None:
    """Whatever is no object with a port is refused with ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        ReadyCheck.from_json(text)


def test_a_log_format_is_one_of_two() -> None:
    """A bad value names the variable and what was found."""
    environ = {**SETTINGS.to_env(), "REGISTRAR_LOG_FORMAT": "xml"}
    with pytest.raises(ContractError, match="REGISTRAR_LOG_FORMAT='xml'"):
        Settings.from_env(environ)
    assert Settings.from_env({**environ, "REGISTRAR_LOG_FORMAT": "json"}).log_format is LogFormat.JSON
