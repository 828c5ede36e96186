"""The broker's settings: what is required, what goes together, what is allowed."""

import pytest

from sidecar.broker_contract import DEFAULT_AUDIENCE
from webhook import cli
from webhook.broker.fair_queue import AT_ONCE
from webhook.broker.settings import Settings
from webhook.flags import SettingsError

REQUIRED: dict[str, str | None] = {
    "cluster_id": "prod-eu",
    "namespace": "litellm-registrar",
    "litellm_url": "https://litellm.example.com/",
    "litellm_key_file": "/key",
    "tls_secret": "broker-tls",
    "service": "broker",
}


def problems(**changes: str | None) -> list[str]:
    """Give what is wrong with settings that differ so from good ones."""
    with pytest.raises(SettingsError) as caught:
        Settings.read(REQUIRED | changes, {})
    return caught.value.problems


def test_the_defaults() -> None:
    """What is not given has the documented default; a slash at the end of the URL goes."""
    settings = Settings.read(REQUIRED, {})
    assert settings.litellm_url == "https://litellm.example.com"
    assert (settings.token_audience, settings.concurrency) == (DEFAULT_AUDIENCE, AT_ONCE)
    assert settings.ca_configmap == "litellm-registrar-broker-ca"
    assert "broker.litellm-registrar.svc" in settings.tls_hosts


def test_what_is_required_is_named_at_once() -> None:
    """Without anything each required flag is named."""
    with pytest.raises(SettingsError) as caught:
        Settings.read({}, {})
    found = [text.split(" ")[0] for text in caught.value.problems]
    assert found == ["--litellm-url", "--litellm-key-file"]


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("litellm_url", "litellm:4000"),
        ("litellm_url", "ftp://litellm"),
        ("token_audience", "two words"),
        ("token_audience", ""),
        ("concurrency", "0"),
        ("concurrency", "many"),
        ("rows_per_pod", "-1"),
        ("pod_rate", "0"),
        ("namespace_rate", "nan"),
        ("ca_configmap", "No_Name"),
    ],
)
def test_a_bad_value_is_named(name: str, bad: str) -> None:
    """The flag, what was found and what is allowed."""
    (problem,) = problems(**{name: bad})
    assert problem.startswith(f"--{name.replace('_', '-')}: found {bad!r}, allowed: ")


@pytest.mark.parametrize(
    ("bad", "shown"),
    [
        ("http://user:password@litellm", "http://[hidden]@litellm"),
        ("http://user:pass@word@litellm/?key=sk-1", "http://[hidden]@litellm/?[hidden]"),
        ("http://litellm/?a=b", "http://litellm/?[hidden]"),
    ],
)
def test_what_may_be_a_secret_in_a_bad_url_is_not_shown(bad: str, shown: str) -> None:
    """Neither user and password nor the query, which is why they are not allowed there."""
    (problem,) = problems(litellm_url=bad)
    assert problem.startswith(f"--litellm-url: found {shown!r}, allowed: ")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"namespace": None}, "--namespace"),
        ({"tls_secret": None}, "--tls-secret is missing"),
        ({"service": None}, "found neither --service nor --tls-names"),
    ],
)
def test_what_goes_together_is_said(changes: dict[str, str | None], named: str) -> None:
    """The namespace of its Leases, the Secret of its certificate, and what that is for."""
    assert any(named in problem for problem in problems(**changes))


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Each has flag, variable and default in the help."""
    with pytest.raises(SystemExit):
        cli.main(["broker", "--help"])
    text = capsys.readouterr().out
    assert "--litellm-key-file" in text
    assert "WEBHOOK_LITELLM_KEY_FILE" in text
