"""`webhook check` and `policy lint` as commands: exit codes, formats, what is said of bad input."""

import io
import json
import sys
from pathlib import Path

import pytest

from webhook.cli import main

POLICY = """\
apiVersion: policy.litellm-registrar.io/v1
kind: ModelServerPolicy
metadata: {name: t}
spec:
  defaults: {mode: enforce}
  rules:
    code: {trustRemoteCode: deny}
    images: {mode: warn, forbidTags: [latest]}
  exceptions:
    - id: EX-1
      rules: [code.trustRemoteCode]
      match: {namespace: research}
      reason: not in vLLM yet
      owner: research
      expires: 2026-12-31
"""
SERVER = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: qwen
  labels: {litellm-registrar.io/server: vllm}
spec:
  template:
    spec:
      containers:
        - name: vllm
          image: vllm/vllm-openai:TAG
          ports: [{containerPort: 8000}]
          args:
            - Qwen/Qwen3-8B
            - --trust-remote-code
"""
HONEST = SERVER.replace("TAG", "v0.32.0").replace("            - --trust-remote-code\n", "")
TRUST_LINE = 15


class Shell:
    """Runs commands in a folder of their own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys
        self.file("policy.yaml", POLICY)

    def file(self, name: str, text: str) -> str:
        """Write a file, and give its path."""
        path = self._folder / name
        path.write_text(text)
        return str(path)

    def check(self, *args: str) -> tuple[int, str, str]:
        """Run `check` with the policy; give exit code, output and errors."""
        return self.run("check", "--policy", str(self._folder / "policy.yaml"), *args)

    def run(self, *args: str) -> tuple[int, str, str]:
        """Run any command."""
        code = main(args, {})
        out, err = self._capsys.readouterr()
        return code, out, err


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Give a folder with a policy in it."""
    return Shell(tmp_path, capsys)


def test_honest_manifest(shell: Shell) -> None:
    """Of a manifest that keeps to the policy `check` tells what the injector does, and ends with 0."""
    path = shell.file("a.yaml", HONEST)
    code, out, err = shell.check(path)
    assert (code, err) == (0, "")
    first, second, last = out.splitlines()
    assert first == f"{path}:1: Deployment default/qwen: allowed"
    assert second == "  inject spec.template.spec: vllm in container vllm, port 8000"
    assert last.startswith("1 object; allowed: 1 (policy t ")


def test_refused_manifest(shell: Shell) -> None:
    """Whatever would be refused is told with rule, path and line, milder things too, and the end is 1."""
    code, out, _ = shell.check(shell.file("a.yaml", SERVER.replace("TAG", "latest")))
    assert code == 1
    assert "Deployment default/qwen: pods denied" in out
    trust = "spec.template.spec.containers[0].args[1]"
    assert f"  deny   code.trustRemoteCode: {trust}: found" in out
    assert f"(line {TRUST_LINE})" in out
    assert "  warn   images.forbidTags: spec.template.spec.containers[0].image: found" in out


def test_what_the_injector_cannot_do_is_told(shell: Shell) -> None:
    """A pod that gets no registrar is told why, with the path in the object."""
    text = HONEST.replace("[{containerPort: 8000}]", "[]").replace("- Qwen/Qwen3-8B", "- --uds=/run/x")
    _, out, _ = shell.check(shell.file("a.yaml", text))
    assert "  leave  unix_socket: spec.template.spec.containers[0].args: it listens on /run/x" in out


def test_exceptions_count_until_they_end(shell: Shell) -> None:
    """An exception lets its violation pass, under its name, up to the day after its date."""
    path = shell.file("a.yaml", SERVER.replace("TAG", "v0.32.0"))
    code, out, _ = shell.check(path, "--namespace", "research", "--at", "2026-12-31")
    assert (code, "  except code.trustRemoteCode" in out) == (0, True)
    code, out, _ = shell.check(path, "--namespace", "research", "--at", "2027-01-01")
    assert (code, "  deny   code.trustRemoteCode" in out) == (1, True)


def test_json(shell: Shell) -> None:
    """`--format json` gives all of it as one object, with lines."""
    path = shell.file("a.yaml", f"# two\n{HONEST}---\n{SERVER.replace('TAG', 'v1')}")
    code, out, _ = shell.check(path, "--format", "json")
    found = json.loads(out)
    assert code == 1
    assert found["policy"]["name"] == "t"
    assert [(o["file"], o["line"], o["outcome"]) for o in found["objects"]] == [
        (path, 2, "allowed"),
        (path, 17, "pods denied"),
    ]
    (violation,) = found["objects"][1]["violations"]
    assert (violation["rule"], violation["mode"]) == ("code.trustRemoteCode", "enforce")
    assert violation["line"] == 16 + TRUST_LINE
    (registrar,) = found["objects"][0]["registrars"]
    assert (registrar["engine"], registrar["container"], registrar["port"]) == ("vllm", "vllm", 8000)


def test_github(shell: Shell) -> None:
    """`--format github` gives workflow commands with file, line and title, and colons escaped in them."""
    path = shell.file("a:b.yaml", SERVER.replace("TAG", "latest"))
    _, out, _ = shell.check(path, "--format", "github")
    error, warning, _ = out.splitlines()
    escaped = path.replace(":", "%3A")
    assert error.startswith(
        f"::error file={escaped},line={TRUST_LINE},title=code.trustRemoteCode::Deployment default/qwen: "
    )
    assert warning.startswith(f"::warning file={escaped},line=11,title=images.forbidTags::")


def test_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is standard input, which is what `helm template` is piped into."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(HONEST.encode())))
    code, out, _ = shell.check("-")
    assert (code, out.startswith("<stdin>:1: Deployment default/qwen: allowed")) == (0, True)


def test_other_kinds_are_not_judged(shell: Shell) -> None:
    """Services and pods without the label are counted and otherwise passed over."""
    path = shell.file("a.yaml", "{apiVersion: v1, kind: Service}\n---\n{apiVersion: v1, kind: Pod}\n")
    code, out, _ = shell.check(path)
    assert code == 0
    assert out.startswith("2 objects; not judged: 2 (policy t ")


def test_a_mistake_in_an_annotation_is_a_denial(shell: Shell) -> None:
    """What the webhook refuses beside the policy is refused here too: a label of no engine."""
    code, out, _ = shell.check(shell.file("a.yaml", HONEST.replace("server: vllm", "server: vlm")))
    assert code == 1
    assert "Deployment default/qwen: denied" in out
    assert "  deny   bad_label: metadata.labels[litellm-registrar.io/server]" in out


def test_a_mistake_on_a_pod_is_a_warning(shell: Shell) -> None:
    """A bad annotation of a pod is only warned of, also where the policy refuses the pod."""
    pod = (
        "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {litellm-registrar.io/server: vllm}, "
        "annotations: {litellm-registrar.io/prot: '1'}}, spec: {containers: [{name: vllm, "
        "image: 'vllm/vllm-openai:v1', args: [a/b, --trust-remote-code], ports: [{containerPort: 8000}]}]}}"
    )
    code, out, _ = shell.check(shell.file("a.yaml", pod))
    assert code == 1
    assert "  warn   unknown_annotation: metadata.annotations" in out
    assert shell.check(shell.file("a.yaml", pod.replace(", --trust-remote-code", "")))[0] == 0


def test_defaults_of_annotations_count(shell: Shell) -> None:
    """With the webhook's file of defaults `check` tells what the injector does with them."""
    defaults = shell.file("defaults.yaml", "namespaces: {team-a: {pre-stop: replace}}\n")
    own = HONEST.replace(
        "          args:", "          lifecycle: {preStop: {sleep: {seconds: 5}}}\n          args:"
    )
    path = shell.file("a.yaml", own)
    told = [
        "own_pre_stop_kept" in shell.check(path, "--defaults", defaults, "--namespace", namespace)[1]
        for namespace in ("team-a", "team-b")
    ]
    assert told == [False, True]


def test_the_audience_of_the_broker_is_told(shell: Shell) -> None:
    """A token in a manifest is none for the Kubernetes API if it is for the audience that is named."""
    shell.file(
        "policy.yaml", POLICY.replace("    code:", "    podSecurity: {serviceAccountToken: deny}\n    code:")
    )
    volume = "{name: t, projected: {sources: [{serviceAccountToken: {path: token, audience: AUDIENCE}}]}}"
    spec = f"      automountServiceAccountToken: false\n      volumes: [{volume}]\n      containers:\n"
    codes = []
    for audience, *flags in (
        ("litellm-registrar.io",),
        ("us",),
        ("us", "--token-audience", "us"),
    ):
        text = HONEST.replace("      containers:\n", spec.replace("AUDIENCE", audience))
        codes.append(shell.check(shell.file("a.yaml", text), *flags)[0])
    assert codes == [0, 1, 0]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere.yaml"], "nowhere.yaml: cannot be read: No such file"),
        ([], "name files"),
        (["--cluster", "a.yaml"], "name files"),
        (["--context", "x", "a.yaml"], "go with --cluster"),
        (["--at", "2026-13-01", "a.yaml"], "--at: found '2026-13-01'"),
        (["--defaults", "nowhere.yaml", "a.yaml"], "nowhere.yaml: cannot be read"),
        (["--policy", "nowhere.yaml", "a.yaml"], "nowhere.yaml: cannot be read"),
        (["--cluster", "--kubeconfig", "nowhere"], "nowhere: "),
    ],
)
def test_unusable_input(shell: Shell, args: list[str], said: str) -> None:
    """Whatever cannot be used is named, and the exit code is 2."""
    code, out, err = shell.check(*args)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("webhook: error: ")


def test_every_bad_file_is_named_with_its_line(shell: Shell) -> None:
    """Of several files all bad ones are named, and nothing is said of the good ones."""
    good, values = shell.file("good.yaml", HONEST), shell.file("values.yaml", "image: {tag: v1}\n")
    broken = shell.file("broken.yaml", f"{HONEST}---\na: b: c\n")
    code, out, err = shell.check(good, values, broken)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"webhook: error: {values}:1: the document is no manifest: apiVersion and kind are needed",
        f"webhook: error: {broken}:16: not YAML: mapping values are not allowed in this context",
    ]


def test_bad_policy_is_named_with_its_line(shell: Shell) -> None:
    """A mistake in the policy is told with its path, its line and the nearest name."""
    policy = shell.file("bad.yaml", POLICY.replace("trustRemoteCode", "trustRemotCode"))
    code, _, err = shell.check("--policy", policy, shell.file("a.yaml", HONEST))
    assert code == 2
    assert f"{policy}: spec.rules.code.trustRemotCode (line 7): unknown, did you mean trustRemoteCode?" in err
    assert shell.run("policy", "lint", policy)[:2] == (2, "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hi", "no kubeconfig, or a broken one (TypeError)"),
        ("a: [", "no kubeconfig, or a broken one ("),
        ("contexts: 5\ncurrent-context: x", "no kubeconfig, or a broken one ("),
        ("{}", "Invalid kube-config file"),
    ],
)
def test_a_broken_kubeconfig_is_unusable_input(shell: Shell, text: str, told: str) -> None:
    """It is named; what is in it, credentials among it, is not quoted."""
    path = shell.file("kubeconfig", text)
    code, out, err = shell.run("check", "--cluster", "--kubeconfig", path)
    assert (code, out) == (2, "")
    assert err.startswith(f"webhook: error: {path}: {told}")


def test_lint_reads_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, and calls it so."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(POLICY.encode())))
    code, out, _ = shell.run("policy", "lint", "-")
    assert (code, out.splitlines()[-1].startswith("<stdin>: policy t ")) == (0, True)


def test_lint_of_a_good_policy(shell: Shell) -> None:
    """A policy that can be used is told so, with its name and hash; so is the one that ships."""
    code, out, _ = shell.run(
        "policy", "lint", shell.file("good.yaml", POLICY.replace("2026-12-31", "2999-12-31"))
    )
    assert code == 0
    assert "good.yaml: policy t " in out
    assert shell.run("policy", "lint", "default")[0] == 0


NAMES = "apiVersion: names.litellm-registrar.io/v1\nkind: ModelNames\nspec:\n  namespaces:\n"


def test_lint_of_a_names_file(shell: Shell) -> None:
    """One that can be used is told so, with what its author probably did not mean."""
    good = shell.file(
        "names.yaml", NAMES + "    - {match: '*', allow: [], share: ['*'], hostNetwork: true}\n"
    )
    code, out, _ = shell.run("names", "lint", good)
    assert code == 0
    assert out.splitlines() == [
        f"{good}: warning: every namespace may take a share of the requests to any name",
        f"{good}: warning: every namespace may register pods with the address of their node",
        f"{good}: warning: every namespace is given no name by this entry, and needs another to use any",
        f"{good}: names for 1 kinds of namespaces can be used",
    ]


def test_a_bad_names_file_is_told_with_its_lines(shell: Shell) -> None:
    """Every mistake, and nothing is printed as if it could be used."""
    bad = shell.file("names.yaml", NAMES + "    - {match: a, alow: [x]}\n")
    code, out, err = shell.run("names", "lint", bad)
    assert (code, out) == (2, "")
    assert err == f"webhook: error: {bad}: spec.namespaces[0].alow (line 5): unknown, did you mean allow?\n"
