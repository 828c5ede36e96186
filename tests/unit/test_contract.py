"""The contract between webhook and registrar: environment in, settings out, every fault named."""

from dataclasses import fields, replace

import pytest

from sidecar.contract import (
    CONTRACT_VERSION,
    ENV_CONTRACT,
    ContractError,
    Credentials,
    Engine,
    LogFormat,
    PodIdentity,
    ReadyCheck,
    Settings,
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
