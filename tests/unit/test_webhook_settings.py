"""The webhook's settings, its help, its exit codes."""

from dataclasses import MISSING, fields

import pytest

from sidecar.contract import LogFormat
from webhook import cli
from webhook.access import Broker
from webhook.flags import SettingsError, flag, variable
from webhook.inject import Injection
from webhook.kubelets import Release
from webhook.settings import ModeChoice, OnError, Settings
from webhook.wishes import InjectMode

REQUIRED: dict[str, str | None] = {
    "tls_cert": "tls.crt",
    "tls_key": "tls.key",
    "cluster_id": "prod-eu",
    "registrar_image": "registry.example.com/registrar:1",
}


def test_one_setting_is_required_and_named() -> None:
    """Without anything, the required flag is named with its variable and its meaning."""
    with pytest.raises(SettingsError) as caught:
        Settings.read({}, {})
    (problem,) = caught.value.problems
    assert problem.startswith(
        "--registrar-image (or WEBHOOK_REGISTRAR_IMAGE) is missing: image of the registrar"
    )


OWN = {name: text for name, text in REQUIRED.items() if not name.startswith("tls")}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "--tls-secret is missing, or --tls-cert and --tls-key: what reviews are served with"),
        ({"tls_cert": "x"}, "--tls-cert: found alone, allowed: --tls-cert and --tls-key together"),
        ({"tls_key": "x"}, "--tls-key: found alone, allowed: --tls-cert and --tls-key together"),
        (
            {"tls_secret": "x", "namespace": "n", "service": "s", "tls_key": "x"},
            "--tls-key: allowed only without --tls-secret",
        ),
        ({"tls_secret": "x", "service": "s"}, "--tls-secret: found no --namespace, which is needed with it"),
        (
            {"tls_secret": "x", "namespace": "n"},
            "--tls-secret: found neither --service nor --tls-names, one is needed",
        ),
        (
            {"tls_cert": "x", "tls_key": "x", "tls_leaf_lifetime": "3600"},
            "--tls-clock-skew: found 3600, allowed: less than a 12th of --tls-leaf-lifetime",
        ),
        (
            {"tls_cert": "x", "tls_key": "x", "tls_ca_lifetime": "259200"},
            "--tls-overlap: found 86400, allowed: less than a third of --tls-ca-lifetime",
        ),
    ],
)
def test_certificates_come_from_one_place(given: dict[str, str | None], problem: str) -> None:
    """From files or from a Secret of one's own, with all that each needs, and times that go together."""
    with pytest.raises(SettingsError) as caught:
        Settings.read(OWN | given, {})
    assert caught.value.problems == [problem]


def test_the_gate_is_tried_in_the_webhooks_own_namespace() -> None:
    """What `--gated-configurations` needs is named."""
    with pytest.raises(SettingsError) as caught:
        Settings.read(REQUIRED | {"gated_configurations": "a,b"}, {})
    assert caught.value.problems == ["--gated-configurations: found no --namespace, which is needed with it"]
    given = REQUIRED | {"gated_configurations": "a,b", "namespace": "n"}
    assert Settings.read(given, {}).gated_configurations == ("a", "b")


def test_an_own_certificate_is_for_the_service_and_for_more() -> None:
    """As the API server and pods call the Service, and what `--tls-names` adds."""
    given = {"tls_secret": "x", "namespace": "n", "service": "s", "tls_names": "10.0.0.1, hook.example"}
    settings = Settings.read(OWN | given | {"webhook_configurations": "a,b"}, {})
    assert settings.tls_hosts == ("s.n.svc", "s.n.svc.cluster.local", "10.0.0.1", "hook.example")
    assert settings.webhook_configurations == ("a", "b")


def test_the_defaults() -> None:
    """What is not given has the documented default."""
    settings = Settings.read(REQUIRED, {})
    assert (settings.listen_address, settings.port, settings.health_port) == ("", 8443, 8080)
    assert (settings.on_error, settings.log_format) == (OnError.BY_PATH, LogFormat.TEXT)
    assert (settings.stop_delay, settings.stop_timeout) == (5.0, 10.0)
    assert settings.injection == Injection(cluster="prod-eu", image="registry.example.com/registrar:1")


def test_every_setting_has_a_variable_and_the_flag_wins() -> None:
    """A variable is read where there is no flag; an empty variable counts as not set."""
    environ = {variable(item): text for item in fields(Settings) if (text := REQUIRED.get(item.name))}
    settings = Settings.read(
        {"port": "9443", "inject_mode": None},
        environ | {"WEBHOOK_PORT": "1", "WEBHOOK_INJECT_MODE": "container", "WEBHOOK_STOP_DELAY": ""},
    )
    assert (settings.port, settings.inject_mode, settings.stop_delay) == (9443, ModeChoice.CONTAINER, 5.0)


def test_what_a_registrar_runs_as_and_is_pulled_with_is_told() -> None:
    """Ids may be left to the cluster; the mode that follows the nodes begins with what any kubelet runs."""
    given = {
        "cluster_id": "",
        "inject_mode": "auto",
        "native_from": "1.29",
        "registrar_user": "none",
        "registrar_group": "1000",
        "registrar_pull_secrets": "ours, mirror",
    }
    settings = Settings.read(REQUIRED | given, {})
    assert (settings.cluster_id, settings.native_from) == ("", Release(1, 29))
    injection = settings.injection
    assert (injection.mode, injection.user, injection.group) == (InjectMode.CONTAINER, None, 1000)
    assert injection.pull_secrets == ("ours", "mirror")


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("health_port", "http"),
        ("stop_delay", "-1"),
        ("stop_delay", "nan"),
        ("stop_timeout", "inf"),
        ("stop_timeout", "5s"),
        ("on_error", "ignore"),
        ("log_format", "yaml"),
        ("inject_mode", "sidecar"),
        ("tls_secret", "Upper"),
        ("tls_names", "a,,b"),
        ("tls_names", "a_b"),
        ("webhook_configurations", ""),
        ("tls_ca_lifetime", "9"),
        ("tls_leaf_lifetime", "90d"),
        ("tls_overlap", "-1"),
        ("cluster_id", "two words"),
        ("cluster_id", "-"),
        ("cluster_id", "x" * 129),
        ("native_from", "1.28"),
        ("native_from", "v1.33"),
        ("native_from", "1.33.2"),
        ("native_from", "newest"),
        ("registrar_user", "0"),
        ("registrar_user", "nobody"),
        ("registrar_group", "2147483648"),
        ("registrar_pull_secrets", "Upper"),
        ("registrar_pull_secrets", "a,,b"),
        ("registrar_image", "an image"),
        ("litellm_secret", "Upper"),
        ("broker_url", "http://broker"),
        ("broker_url", "https://broker/path"),
        ("broker_url", "https://broker:65536"),
        ("broker_url", "https://"),
        ("broker_ca_configmap", "Upper"),
        ("token_audience", ""),
        ("token_audience", "two words"),
        ("token_expiration", "599"),
        ("token_expiration", "86401"),
        ("token_expiration", "1h"),
        ("registrar_cpu_request", "lots"),
        ("registrar_memory_limit", "0"),
        ("registrar_memory_limit", "-64Mi"),
    ],
)
def test_a_bad_value_names_flag_found_and_allowed(name: str, bad: str) -> None:
    """The error has the flag, what was found and what is allowed."""
    with pytest.raises(SettingsError) as caught:
        Settings.read(REQUIRED | {name: bad}, {})
    (problem,) = caught.value.problems
    start = f"--{name.replace('_', '-')}: found {bad!r}, allowed: "
    assert problem.startswith(start)
    assert len(problem) > len(start)
    assert "`" not in problem


@pytest.mark.parametrize("bad", ["https://user:secret@broker", "https://broker?key=secret"])
def test_a_broker_is_given_without_a_secret_and_none_is_shown(bad: str) -> None:
    """It is refused, and neither user and password nor the query is in the error."""
    with pytest.raises(SettingsError) as caught:
        Settings.read(REQUIRED | {"broker_url": bad}, {})
    (problem,) = caught.value.problems
    assert problem.startswith("--broker-url: found 'https://")
    assert "secret" not in problem


def test_a_bad_variable_is_named_as_the_variable() -> None:
    """Whoever set the environment looks for the variable's name."""
    with pytest.raises(SettingsError, match=r"^WEBHOOK_PORT: found 'x', allowed: a port"):
        Settings.read(REQUIRED, {"WEBHOOK_PORT": "x"})


def test_a_request_above_its_limit_is_refused_at_the_start() -> None:
    """The API server would refuse every pod injected that way."""
    with pytest.raises(SettingsError, match=r"^--registrar-cpu-request: found 1, allowed is up to cpu-limit"):
        Settings.read(REQUIRED | {"registrar_cpu_request": "1"}, {})


BROKER = REQUIRED | {"broker_url": "https://broker.example.com:8443/", "broker_ca": "ca.crt"}


def test_a_broker_goes_into_the_injection_without_its_certificates() -> None:
    """Address, audience and life of the token are settings; the certificates are read later."""
    given = BROKER | {"token_audience": "us", "token_expiration": "600"}
    injection = Settings.read(given, {}).injection
    assert injection.broker == Broker("https://broker.example.com:8443", None, 600)
    assert injection.token_audience == "us"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (REQUIRED | {"broker_ca": "x"}, "--broker-ca: allowed only with --broker-url"),
        (REQUIRED | {"broker_ca_configmap": "x"}, "--broker-ca-configmap: allowed only with --broker-url"),
        (
            BROKER | {"broker_ca": None},
            "--broker-url: found neither of --broker-ca and --broker-ca-configmap, one is needed",
        ),
        (
            BROKER | {"broker_ca_configmap": "x", "namespace": "ns"},
            "--broker-url: found both of --broker-ca and --broker-ca-configmap, one is needed",
        ),
        (
            BROKER | {"broker_ca": None, "broker_ca_configmap": "x"},
            "--broker-ca-configmap: found no --namespace, which is needed with it",
        ),
        (
            BROKER | {"litellm_secret": "mine"},
            "--litellm-secret: allowed only without --broker-url, by which no pod gets a Secret",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_named(given: dict[str, str | None], problem: str) -> None:
    """A broker has certificates from one place, and LiteLLM's Secret has no place beside it."""
    with pytest.raises(SettingsError) as caught:
        Settings.read(given, {})
    assert caught.value.problems == [problem]


def test_help_tells_meaning_default_and_variable_of_every_setting(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each flag of `serve --help` has its meaning, default or `required`, and variable."""
    monkeypatch.setenv("COLUMNS", "1000")  # lines are also broken at hyphens
    with pytest.raises(SystemExit) as left:
        cli.main(["serve", "--help"], {})
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for item in fields(Settings):
        told = text.split(f" {flag(item)} X ")[1].split(f"[{variable(item)}]")[0]
        assert told.startswith(item.metadata["meaning"])
        value = ",".join(item.default) if isinstance(item.default, tuple) else item.default
        assert "required" in told if value is MISSING else f"default: {value or '(empty)'}" in told


def test_bad_settings_end_with_2_and_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, one line on standard error for each problem."""
    code = cli.main(
        ["serve", "--port", "x", "--cluster-id", "c"], {"WEBHOOK_TLS_CERT": "c", "WEBHOOK_TLS_KEY": "k"}
    )
    assert code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[2].split(" (")[0] for line in lines] == ["--registrar-image", "--port"]


@pytest.mark.parametrize("argv", [[], ["serve", "--unknown"], ["serve", "--cluster", "x"]])
def test_an_unknown_flag_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """No command, an unknown flag, and an abbreviated one."""
    with pytest.raises(SystemExit) as left:
        cli.main(argv, {})
    assert left.value.code == 2
    assert "usage: webhook" in capsys.readouterr().err
