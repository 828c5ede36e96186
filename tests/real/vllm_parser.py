"""Run by vLLM's own interpreter: what its own parsers make of command lines.

Reads a JSON list of [entry, words] from stdin, `entry` "serve" or "module"; writes a list of what each gives,
null where vLLM refuses; before that, under "options", every option of the parser.
"""

import argparse
import importlib
import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any


def main() -> None:
    """Parse every command line."""
    asked = json.load(sys.stdin)
    out = sys.stdout
    with redirect_stdout(sys.stderr):
        argparse_utils = importlib.import_module("vllm.utils.argparse_utils")
        serve_module = importlib.import_module("vllm.entrypoints.cli.serve")
        cli_args = importlib.import_module("vllm.entrypoints.launchers.cli_args")
    flexible = argparse_utils.FlexibleArgumentParser
    # As `vllm/entrypoints/cli/main.py` and `launchers/api_server/entry.py` make them.
    cli = flexible(description="vLLM CLI")
    cli.add_argument("-v", "--version", action="version", version="0")
    serve_module.ServeSubcommand().subparser_init(cli.add_subparsers(required=False, dest="subparser"))
    module = cli_args.make_arg_parser(flexible())
    answers = [
        _parsed(cli, ["serve", *words]) if entry == "serve" else _parsed(module, words)
        for entry, words in asked
    ]
    json.dump({"options": _options(module), "answers": answers}, out)


def _parsed(parser: Any, words: list[str]) -> dict[str, Any] | None:
    try:
        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            args = parser.parse_args(words)
    except (SystemExit, Exception):  # noqa: BLE001 - whatever it raises, vLLM does not start
        return None
    model = args.model
    # `ServeSubcommand.cmd`; the module's main takes no notice of the positional argument.
    if getattr(args, "subparser", None) == "serve" and args.model_tag is not None:
        model = args.model_tag
    names = args.served_model_name
    return {
        "model": model,
        "revision": args.revision,
        "trust": args.trust_remote_code,
        "names": names,
        "port": args.port,
    }


def _options(parser: Any) -> dict[str, list[Any]]:
    """Give each spelling with how many words it takes, whether None unsets it, and what kind it is."""
    found = {}
    for action in parser._actions:
        kind = {argparse._HelpAction: "help", argparse._AppendAction: "append"}.get(type(action), "")
        unset = getattr(action.type, "__name__", "") == "_optional_type"
        for spelling in action.option_strings:
            found[spelling] = [action.dest, action.nargs, unset, kind]
    return found


if __name__ == "__main__":
    main()
