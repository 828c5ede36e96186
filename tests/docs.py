"""Renders what comes from code in README.md and the chart's: `python -m tests.docs`; `--check` only compares.

A part stands between `<!-- name -->` and `<!-- /name -->`. Exit code 1 when a part is stale (`--check`), or
when a file or a marker is missing.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from sidecar.log import Word
from sidecar.reasons import Reason
from tests.chart_values import UndocumentedError
from tests.chart_values import rows as chart_rows
from tests.listing import reference
from webhook.broker.key_abilities import ROUTES
from webhook.broker.shapes import Rule as BrokerRule
from webhook.layer import PREFIX, TABLE
from webhook.litellm_keys import PARAMS
from webhook.policy.rule import Rule
from webhook.policy.table import GROUPS, RULES

ROOT: Final = Path(__file__).parents[1]
README: Final = ROOT / "README.md"
CHART: Final = ROOT / "charts" / "litellm-registrar"


class DocsError(Exception):
    """A file cannot be rendered; the message says what is missing."""


def annotations() -> str:
    """Render the reference of the annotations."""
    rows = [(f"`{key.name}`", key.allowed, key.default, key.meaning) for key in TABLE]
    return _table((f"`{PREFIX}…`", "value", "default", "what it says"), rows)


def parameters() -> str:
    """Render the keys of `litellm_params` that owners may set."""
    return ", ".join(f"`{name}`" for name in PARAMS) + "."


WORDS: Final[Mapping[Word, str]] = {
    Word.STARTED: "whose server the registrar watches, and where LiteLLM is",
    Word.WAITING: "for what it waits (the server to listen, to load, to pass its own readiness probe)",
    Word.FOUND: "the server answers; and of each model, when it is new and when it changes, what is known "
    "and by whom: the `engine`, a `probe` of ours, a `default` of all such servers, or you (`override`)",
    Word.REGISTERED: "a model has its row in LiteLLM: name, id, how long it took",
    Word.SERVING: "how many models are routable; also said when a block was lifted",
    Word.BLOCKED: "the server is ill or sleeps: its rows stay, LiteLLM sends it nothing; with the reason",
    Word.REPAIRED: "somebody had changed a row of ours, or deleted it; it is as it should be again",
    Word.REMOVED: "a model's row is gone from LiteLLM",
    Word.DRAINING: "what the drain waits for now, and how many requests are in flight",
    Word.GONE: "the drain is over: how long it took, and `cut=` how many requests it cost",
    Word.PROBLEM: "something is in the way, by `reason=`; said once, and again only when it changes",
    Word.SOLVED: "that problem is over, and how long it lasted",
    Word.STOPPED: "the registrar ends",
}


def log_words() -> str:
    """Render what the first words of the registrar's log lines tell.

    Raises ValueError for a word without a text.
    """
    return _table(
        ("word", "what it tells"),
        [(f"`{word.upper()}`", WORDS[word]) for word in sorted(Word, key=list(WORDS).index)],
    )


def reasons() -> str:
    """Render every problem that the registrar can name."""
    return _table(("`reason=`", "what it means"), [(f"`{reason}`", reason.sentence) for reason in Reason])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


BROKER_RULES: Final[Mapping[BrokerRule, str]] = {
    BrokerRule.TOKEN_MISSING: "there is no token with the request",
    BrokerRule.TOKEN_REFUSED: "the API server does not take it: ended, of another audience or a gone pod",
    BrokerRule.TOKEN_NOT_OF_A_POD: "the token is not bound to a pod",
    BrokerRule.POD_GONE: "the pod is gone; it may still delete its rows",
    BrokerRule.POD_NOT_INJECTED: "the pod has no label of ours, or no registrar that the webhook injected",
    BrokerRule.POD_WITHOUT_IP: "the API server knows no IP of the pod yet",
    BrokerRule.HOST_NETWORK: "the pod is on its node's network, and `hostNetwork` does not allow it",
    BrokerRule.CONTRACT_UNSUPPORTED: "the registrar is more than two versions older or newer than the broker",
    BrokerRule.ROUTE_UNKNOWN: "no call of a registrar's",
    BrokerRule.BODY_TOO_LARGE: "more than 128 KiB",
    BrokerRule.BODY_BAD: "a body that is not what LiteLLM's API takes",
    BrokerRule.ROW_ID: "an id that is not one of this pod's rows, or not that of the model",
    BrokerRule.MODEL_NAME: "a name with `*`, or one that LiteLLM or people take for something else",
    BrokerRule.NAME_NOT_ALLOWED: "`allow` does not give the namespace this name",
    BrokerRule.NAME_TAKEN: "rows of elsewhere have this name, and `share` does not give it",
    BrokerRule.API_BASE: "not the pod's own IP with the port recorded at injection, nor one of its `hosts`",
    BrokerRule.PROVIDER: "a provider that the registrar does not register under",
    BrokerRule.API_KEY: "no key, or one that LiteLLM would take for the name of a secret of its own",
    BrokerRule.LITELLM_PARAMS: "a parameter that owners may not set, or a bad value",
    BrokerRule.MODEL_INFO: "the same of `model_info`",
    BrokerRule.TEAM: "`teams` does not give the namespace this team",
    BrokerRule.TOO_MANY_ROWS: "more rows than `--rows-per-pod` or `--rows-per-namespace`",
    BrokerRule.RATE: "more calls than `--pod-rate` or `--namespace-rate`, or more reports of states than ten "
    "at once and one in ten seconds; the registrar tries again",
    BrokerRule.BUSY: "no place in the queue to LiteLLM in time; the registrar tries again",
    BrokerRule.CANNOT_ASK_KUBERNETES: "the broker cannot ask the API server",
    BrokerRule.CANNOT_ASK_LITELLM: "LiteLLM cannot be reached, or does not answer in time",
    BrokerRule.INTERNAL_ERROR: "a fault of the broker's own, with the reference of its log line",
}


def broker_rules() -> str:
    """Render the rules by which the broker refuses. Raises KeyError for a rule without a text."""
    return _table(("rule", "what is refused"), [(f"`{rule}`", BROKER_RULES[rule]) for rule in BrokerRule])


def litellm_routes() -> str:
    """Render the routes of the narrowest key that works."""
    return ", ".join(f"`{route}`" for route in ROUTES) + "."


def webhook_flags() -> str:
    """Render the settings of the webhook, as its help lists them."""
    return _flags("serve")


def broker_flags() -> str:
    """Render the settings of the broker, as its help lists them."""
    return _flags("broker")


def list_flags() -> str:
    """Render the settings of `list`."""
    return _flags("list")


def listed() -> str:
    """Render what `list` says of an example."""
    return reference.example()


def list_differences() -> str:
    """Render the words for what differs. Raises KeyError for one without a text."""
    return _table(("word", "what it means"), reference.differences())


def list_fields() -> str:
    """Render the fields of the JSON's entries. Raises KeyError for one without a text."""
    return _table(("field", "what it holds"), reference.entry_fields())


def _flags(name: str) -> str:
    """Render a command's help.

    The lines of usage before the description are left out: each Python wraps them in its own way.
    """
    command = [sys.executable, "-m", "webhook", name, "--help"]
    plain = os.environ | {"COLUMNS": "112", "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=plain, cwd=README.parent)
    _usage, _, rest = done.stdout.partition("\n\n")
    return f"```text\n{rest.strip()}\n```"


def check() -> str:
    """Render what `check` says of the example."""
    arguments = ("check", "examples/deployment.yaml", "--policy", "examples/policy.yaml")
    command = [sys.executable, "-m", "webhook", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=README.parent)
    shown = " ".join(("$ litellm-registrar", *arguments))
    return f"```text\n{shown}\n{done.stdout.strip()}\n$ echo $?\n{done.returncode}\n```"


def policy() -> str:
    """Render the reference of the policy's rules, group by group."""
    parts = []
    for name, about in GROUPS.items():
        rows = [_rule(rule) for rule in RULES if rule.group == name]
        parts.append(f"**`{name}`**: {about}\n\n" + _table(("field", "value", "what it is about"), rows))
    return "\n\n".join(parts)


def _rule(rule: Rule) -> tuple[str, str, str]:
    default = "" if rule.default is None else f"; without it {_listed(rule.default)}"
    return f"`{rule.field}`", rule.kind.allowed, f"{rule.meaning}{default}"


def _listed(value: object) -> str:
    items = value if isinstance(value, list) else [value]
    return ", ".join(f"`{item}`" for item in items)


def chart_values() -> str:
    """Render the chart's values. Raises UndocumentedError for one without a comment."""
    return _table(("value", "as shipped", "what it is"), chart_rows((CHART / "values.yaml").read_text()))


Parts = Mapping[str, Callable[[], str]]

PARTS: Final[Parts] = {
    "annotations": annotations,
    "parameters": parameters,
    "log-words": log_words,
    "reasons": reasons,
    "policy": policy,
    "check": check,
    "litellm-routes": litellm_routes,
    "broker-rules": broker_rules,
    "webhook-flags": webhook_flags,
    "broker-flags": broker_flags,
    "list": listed,
    "list-differences": list_differences,
    "list-fields": list_fields,
    "list-flags": list_flags,
}
FILES: Final[Mapping[Path, Parts]] = {README: PARTS, CHART / "README.md": {"values": chart_values}}


def rendered(text: str, parts: Parts = PARTS) -> tuple[str, tuple[str, ...]]:
    """Give the text with every part made anew, and the names of those that were stale.

    Raises DocsError for a marker that is missing.
    """
    stale = []
    for name, render in parts.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        head, found, rest = text.partition(begin)
        old, closed, tail = rest.partition(end)
        if not found or not closed:
            raise DocsError(f"{begin.strip()} ... {end} is missing")
        new = f"{render()}\n"
        if new != old:
            stale.append(name)
        text = f"{head}{begin}{new}{end}{tail}"
    return text, tuple(stale)


def main(arguments: Sequence[str], files: Mapping[Path, Parts] = FILES) -> int:
    """Render the files, or with `--check` say what is stale in them. Gives the exit code."""
    problems = [
        f"{file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}: {problem}"
        for file, parts in files.items()
        if (problem := _render(file, parts, only_compare="--check" in arguments))
    ]
    print("\n".join(problems), end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


def _render(file: Path, parts: Parts, *, only_compare: bool) -> str:
    """Render a file, or compare it only. Gives what is wrong, if something is."""
    try:
        text, stale = rendered(file.read_text(), parts)
    except FileNotFoundError:
        return "is missing"
    except (DocsError, UndocumentedError) as error:
        return str(error)
    if only_compare and stale:
        return f"is stale: {', '.join(stale)}; `make docs` renders it"
    if stale:
        file.write_text(text)
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
