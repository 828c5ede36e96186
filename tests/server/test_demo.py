"""The demo's story, told faster, is an end-to-end test of webhook, registrar and stand-ins as processes."""

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo import manifests
from tests.demo.__main__ import run
from tests.demo.process import ROOT, DemoError
from tests.demo.story import Pace, tell, verdict
from tests.demo.timeline import Timeline
from tests.load import Tally

FAST = Pace(reload=0.5, propagation=1.0, load=0.3, stream=0.5, look=1.0, rate=20.0)


async def test_a_rolling_update_loses_no_request() -> None:
    """From label to drain: no request is lost, and the registrar says when it serves and when it is done."""
    out = io.StringIO()
    tally = await asyncio.wait_for(tell(out, FAST), 250)
    text, good = verdict(tally)
    assert good, f"{text}\n{out.getvalue()}"
    assert tally.sent > 50
    lines = out.getvalue().splitlines()
    story = [
        r"kubectl +kubectl label deployment qwen",
        r"\+ +litellm-registrar.io/carried: vllm",
        r"\+ +- name: registrar",
        r"\+ +- serviceAccountToken:",
        r"broker +CREATED ",
        r"registrar x2x9p +SERVING ",
        r"somebody +POST /model/delete at the broker: 403, id: found 'configured-1'",
        r"somebody +POST /model/delete at LiteLLM itself: 401",
        r"registrar k7w4d +SERVING ",
        r"registrar x2x9p +DRAINING ",
        r"broker +DELETED ",
        r"kubelet .*preStop of vllm answered 200",
        r"kubelet .*SIGTERM to vllm",
        r"kubelet .*SIGTERM to registrar",
        r"kubelet .*container registrar ended with 0",
    ]
    found = [next((i for i, line in enumerate(lines) if re.search(what, line)), None) for what in story]
    assert None not in found, dict(zip(story, found, strict=True))
    assert found == sorted(i for i in found if i is not None), dict(zip(story, found, strict=True))


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a running demo; its temporary files are in `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.demo"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What a shell starts in the background ignores SIGINT, and so would whatever is started from there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing else runs here
    )
    with process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(
    demo: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    """After Ctrl-C or SIGTERM every process and temporary file is gone, and the exit code is not 0."""
    assert demo.stdout is not None
    for line in demo.stdout:
        if "container vllm started" in line:
            break
    children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
    assert len(children) >= 2
    assert list(tmp_path.iterdir())
    demo.send_signal(number)
    demo.communicate(timeout=100)
    assert demo.returncode == 130
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
    assert list(tmp_path.iterdir()) == []


def test_a_diff_shows_only_what_changed() -> None:
    """Unchanged parts of a pod are left out of the diff; small things stand on one line."""
    before = manifests.pod_of(manifests.deployment(8000, {}), "a")
    after = manifests.pod_of(manifests.deployment(8000, {}), "a")
    after["spec"]["containers"][0]["env"] = [{"name": "A", "value": "1"}]
    assert manifests.yaml_diff(before, after)[1:] == [
        "           nvidia.com/gpu: '1'",
        "+      env:",
        "+        - {name: A, value: '1'}",
    ]


def test_a_timeline_has_no_colours_when_it_is_not_a_terminal() -> None:
    """A file gets plain text, long events are wrapped under themselves."""
    out = io.StringIO()
    Timeline(out).say("client", "word " * 40)
    lines = out.getvalue().splitlines()
    assert "\033" not in out.getvalue()
    assert re.match(r"   0\.\d  client +word word", lines[0])
    assert lines[1].startswith(" " * 24 + "word")


def test_the_last_line_counts_what_was_lost() -> None:
    """A lost request is in the last line with its kind, and is no good end; neither is a missing answer."""
    assert verdict(Tally(sent=2, answered=2)) == ("2 requests sent, 0 failed", True)
    lost = Tally(sent=2, answered=1, lost=Counter({"500 gone": 1}))
    assert verdict(lost) == ("2 requests sent, 1 failed: 1x 500 gone", False)
    assert verdict(Tally(sent=2, answered=1)) == ("2 requests sent, 0 failed", False)


async def test_a_demo_that_went_wrong_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What went wrong is the last line."""

    async def fail(*_: object) -> Tally:
        raise DemoError("no webhook")

    monkeypatch.setattr("tests.demo.__main__.tell", fail)
    assert await run() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "The demo failed: no webhook"
