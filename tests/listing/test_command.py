"""`list` as a command: what it is told, what it says when it cannot tell, its exit code."""

from pathlib import Path

import pytest

from tests.listing.world import CLUSTER
from tests.standins.listening import free_port
from webhook.cli import main
from webhook.listing.settings import ENV_KEY, Settings

URL = "http://127.0.0.1:4000"


def kubeconfig(folder: Path) -> str:
    """Give a kubeconfig for an API server that is not there."""
    file = folder / "kubeconfig"
    file.write_text(
        f"""{{apiVersion: v1, kind: Config, current-context: c,
        clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:{free_port("127.0.0.1")}"}}}}],
        users: [{{name: c, user: {{token: secret-token}}}}],
        contexts: [{{name: c, context: {{cluster: c, user: c}}}}]}}"""
    )
    return str(file)


def test_flags_and_variables_are_the_brokers_own() -> None:
    """So that in its container none has to be given."""
    environ = {
        "WEBHOOK_LITELLM_URL": URL,
        "WEBHOOK_LITELLM_KEY_FILE": "/etc/key",
        "WEBHOOK_CLUSTER_ID": CLUSTER,
    }
    settings = Settings.read({}, environ)
    assert (settings.litellm_url, settings.litellm_key_file, settings.cluster_id) == (
        URL,
        "/etc/key",
        CLUSTER,
    )


@pytest.mark.parametrize(
    ("argv", "environ", "problem"),
    [
        ([], {}, "--litellm-url (or WEBHOOK_LITELLM_URL) is missing: LiteLLM's address"),
        (["--litellm-url", URL], {}, f"--litellm-key-file (or {ENV_KEY} with the key itself) is missing"),
        (["--litellm-url", "litellm"], {ENV_KEY: "sk-1"}, "--litellm-url: found 'litellm', allowed: "),
        (["--litellm-url", URL, "--litellm-key-file", "/no/file"], {}, "--litellm-key-file '/no/file': "),
        (["--litellm-url", URL, "--litellm-ca", "/no/file"], {ENV_KEY: "sk-1"}, "--litellm-ca: /no/file: "),
        (["--litellm-url", URL], {ENV_KEY: "sk one two"}, f"{ENV_KEY}: found blanks"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_flag(
    argv: list[str], environ: dict[str, str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, nothing on standard output, and no key anywhere."""
    assert main(["list", *argv], environ) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"webhook: error: {problem}")
    assert "sk one two" not in said.err


def test_the_key_is_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """Every user of a machine can read what its processes were started with."""
    with pytest.raises(SystemExit):
        main(["list", "--litellm-key", "sk-1"], {})
    assert "unrecognized arguments" in capsys.readouterr().err


def test_an_api_server_that_is_away_is_said_and_nothing_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2: an empty list would say that all is well."""
    argv = ["list", "--litellm-url", URL, "--kubeconfig", kubeconfig(tmp_path)]
    assert main(argv, {ENV_KEY: "sk-1"}) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("webhook: error: the Kubernetes API: no answer Unreachable: ")
    assert "secret-token" not in said.err


def test_as_the_console_script_it_is_called_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever types `litellm-registrar list` is not told of a program called webhook."""
    assert main(["list"], {}, program="litellm-registrar") == 2
    assert capsys.readouterr().err.startswith("litellm-registrar: error: --litellm-url ")
    with pytest.raises(SystemExit):
        main(["list", "--help"], {}, program="litellm-registrar")
    assert capsys.readouterr().out.startswith("usage: litellm-registrar list ")
