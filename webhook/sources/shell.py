"""Reading `sh -c` scripts: the simple commands in them, with what is certain of their words.

No shell is run. Variables are known where the container's environment or a plain assignment in the
script settles them; all else becomes a mark (`webhook.sources.text`) or, where even the words cannot be
told apart, `UnreadableError`. shlex would not do: it drops the quotes that decide what a `$` means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from webhook.sources.text import unknown

_TOKEN: Final = re.compile(
    r"""
    (?P<blank>[ \t]+)
    | (?P<unreadable><<|[()]|\$['"])
    | (?P<hash>\#)
    | (?P<redirect>&>>?|\d*(?:>>|>[&|]|<[&>]|[<>]))
    | (?P<separator>&&|\|\||\|&|;;|[;&|\n])
    | '(?P<single>[^']*)'
    | "(?P<double>(?:[^"\\]|\\.)*)"
    | \\(?P<escaped>.)
    | (?P<plain>[^ \t\n'"\\$`;&|<>()]+)
    | (?P<dollar>\$\(\([^()]*\)\)|\$\([^()]*\)|`[^`]*`|\$\{[^{}]*\}|\$\w+|\$[@*#?!$-]?)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
# What is special between double quotes.
_QUOTED: Final = re.compile(
    r"""\\(?P<escaped>["\\$`\n])|(?P<dollar>\$\([^()]*\)|`[^`]*`|\$\{[^{}]*\}|\$\w+|\$[@*#?!$-])|(?P<unreadable>\$\()""",
    re.DOTALL | re.ASCII,
)
_BLANK: Final = re.compile(r"[ \t\n]+")
_NAME: Final = re.compile(r"\$\{?([A-Za-z_]\w*)\}?", re.ASCII)
_DEFAULT: Final = re.compile(r"\$\{([A-Za-z_]\w*):?-([^\s'\"\\$`]*)\}", re.ASCII)
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)=", re.ASCII)
_OPENERS: Final = frozenset({"if", "while", "until"})
# Their first word is a variable, the others its values.
_LOOPS: Final = frozenset({"for", "select"})
_CLOSERS: Final = frozenset({"fi", "done"})
_BETWEEN: Final = frozenset({"then", "else", "elif", "do", "!", "{", "}", "time"})
_UNREADABLE: Final = frozenset({"case", "function", "coproc", "alias"})
# A command, and a word of the shell's; no patterns.
_BRACKETS: Final = frozenset({"[", "[["})
_ASSIGNING: Final = frozenset({"export", "readonly", "declare", "typeset", "local"})
# Redirections of what a command writes, its errors aside.
_OUTPUT: Final = frozenset({">", ">>", ">|", "1>", "1>>", "1>|", "&>", "&>>"})
_DESCRIPTOR: Final = re.compile(r"[-\d]+")
# They evaluate the index of a variable, and with it the commands in it (bash, "Arrays").
_EVALUATING: Final = frozenset({"[", "[[", "test", "unset", *_ASSIGNING})
# They run a command of the shell's own as it would run without them.
_BARE: Final = frozenset({"command", "builtin"})
_INDEX: Final = re.compile(r"\w\[")
_RUN: Final = re.compile(r"\$\(|`|\0")
_ADDITION: Final = re.compile(r"([A-Za-z_]\w*)(\+?)=", re.ASCII)
# Variables that the shell itself runs, or tells words apart by.
_TELLING: Final = frozenset({"IFS", "PS4", "PROMPT_COMMAND"})
# After these, any variable may be another one.
_SOURCING: Final = frozenset({"source", ".", "eval", "read"})
# Scripts in manifests are short; what is longer is not worth the time of an admission request.
_MAX_SCRIPT: Final = 65536
_MAX_COMMANDS: Final = 200
_MAX_ADDED: Final = 65536


class UnreadableError(ValueError):
    """A script of which not even the words can be told without running it."""


class Command(NamedTuple):
    """One simple command, the variables it starts with, and the file its output goes to, if to one."""

    words: tuple[str, ...]
    env: Mapping[str, str]
    output: str = ""


def simple_commands(script: str, env: Mapping[str, str]) -> tuple[Command, ...]:
    """Give the simple commands of a script, in order, whether or not each of them is reached.

    Raises UnreadableError.
    """
    return _Reader(env).read(script)


class _Reader:
    """The state while one script is read."""

    def __init__(self, env: Mapping[str, str]) -> None:
        # Shared with the commands before a change, so never changed in place.
        self.env = env
        self.room = _MAX_ADDED
        self.steps = 0
        self.commands: list[Command] = []
        self.words: list[str] = []
        self.word: list[str] | None = None
        # Of the word: the shell makes several of it, or would behind a brace that is open.
        self.several = self.braced = False
        self.redirected = ""
        self.output = ""
        self.depth = 0
        # Set in an and-or list after its first command: certain within the list, not behind it.
        self.listed: set[str] = set()
        self.joined = ""

    def read(self, script: str) -> tuple[Command, ...]:
        """Read the whole script."""
        if len(script) > _MAX_SCRIPT:
            raise UnreadableError(f"it is longer than {_MAX_SCRIPT} characters")
        position = 0
        # Only where a word may begin is `#` a comment: a joined line begins none, an escaped blank is in one.
        between = True
        while position < len(script):
            match = _TOKEN.match(script, position)
            if match is None:
                raise UnreadableError("a quote is not closed")
            kind, text = match.lastgroup or "", match[match.lastgroup or 0]
            position = match.end()
            if kind == "hash" and between:
                end = script.find("\n", position)
                position = len(script) if end < 0 else end
                continue
            if not (kind == "escaped" and text == "\n"):
                between = kind in {"blank", "separator"}
            self.take("plain" if kind == "hash" else kind, text)
        self.end_word()
        self.end_command("\n")
        return tuple(self.commands)

    def take(self, kind: str, text: str) -> None:
        """Take one token."""
        match kind:
            case "plain" | "single":
                self.several |= kind == "plain" and self.makes_several(text)
                self.add(text)
            case "escaped":
                # A backslash before the end of a line joins the lines.
                if text != "\n":
                    self.add(text)
            case "double":
                self.add(self.quoted(text))
            case "dollar":
                self.unquoted(text)
            case "unreadable":
                raise UnreadableError(f"it uses {text}")
            case "redirect":
                # Digits belong to the redirection only at the start of a word.
                if self.word is not None:
                    self.add(text.rstrip("<>&|"))
                self.end_word()
                self.redirected = text
            case "separator":
                self.end_word()
                self.end_command(text)
            case _:
                self.end_word()

    def add(self, text: str) -> None:
        """Add text to the word being read."""
        if self.word is None:
            self.word = []
        self.word.append(text)

    def makes_several(self, text: str) -> bool:
        """Tell whether text outside quotes makes several words: `{a,b}`, or a pattern that files match.

        Only at its beginning can a pattern make options: `/x/*` matches nothing that begins with a dash.
        """
        self.braced |= "{" in text
        pattern = self.word is None and text[0] in "*?[" and text not in _BRACKETS
        return pattern or (self.braced and ("," in text or ".." in text))

    def end_word(self) -> None:
        """End the word being read, if there is one; the target of a redirection is none of the command's."""
        if self.word is None:
            return
        if not self.redirected:
            self.words.append(unknown(loose=True) if self.several else "".join(self.word))
        elif self.redirected in _OUTPUT:
            self.output = "".join(self.word)
        elif ">" in self.redirected and not self.output and not _DESCRIPTOR.fullmatch(self.word[0]):
            # Its errors, or both, or another descriptor's.
            self.output = "".join(self.word)
        self.word = None
        self.redirected = ""
        self.several = self.braced = False

    def quoted(self, text: str) -> str:
        """Expand what stands between double quotes: always one word."""

        def value(match: re.Match[str]) -> str:
            if match["unreadable"]:
                raise UnreadableError("it uses $( within quotes")
            if match["escaped"]:
                return "" if match["escaped"] == "\n" else match["escaped"]
            return self.value_of(match["dollar"], loose="@" in match["dollar"])

        return _QUOTED.sub(value, text)

    def unquoted(self, text: str) -> None:
        """Expand a variable outside quotes: its blanks end words, save in an assignment."""
        assigning = self.word and not self.words and _ASSIGNMENT.match(self.word[0])
        value = self.value_of(text, loose=not assigning)
        parts = [value] if assigning else _BLANK.split(value)
        for index, part in enumerate(parts):
            if index:
                self.end_word()
            if part:
                self.add(part)

    def value_of(self, text: str, *, loose: bool) -> str:
        """Give the value of `$NAME`, `${NAME}` or `${NAME:-default}`; a mark for all else."""
        if match := _NAME.fullmatch(text):
            value = self.env.get(match[1], unknown(match[1]))
        elif match := _DEFAULT.fullmatch(text):
            # Unset in the pod is not unset: the image may set it.
            value = self.env.get(match[1], unknown(match[1])) or match[2]
        else:
            # The number of the shell's process is one word, whatever it is.
            return unknown("$") if text == "$$" else unknown(loose=loose)
        self.room -= len(value)
        if self.room < 0:
            raise UnreadableError("its variables grow too long")
        return value.replace("\0", "\0*", 1) if loose and value[:1] == "\0" and value[1:2] != "*" else value

    def end_command(self, separator: str) -> None:
        """End the simple command being read, and what the separator ends."""
        words, self.words = self.words, []
        output, self.output = self.output, ""
        self.redirected = ""
        words = self.without_keywords(words)
        self.steps += bool(words)
        if self.steps > _MAX_COMMANDS:
            raise UnreadableError(f"it has more than {_MAX_COMMANDS} commands")
        own: dict[str, str] = {}
        while words and (match := _ASSIGNMENT.match(words[0])):
            own[match[1]] = words.pop(0)[match.end() :]
        if words:
            self.commands.append(Command(tuple(words), {**self.env, **own} if own else self.env, output))
            self.after(words)
        else:
            for name, value in own.items():
                self.assign(name, value)
        self.joined = separator if separator in {"&&", "||"} else ""
        if not self.joined:
            self.env = {**self.env, **dict.fromkeys(self.listed, unknown())} if self.listed else self.env
            self.listed.clear()

    def without_keywords(self, words: list[str]) -> list[str]:
        """Drop the reserved words a command begins with."""
        for index, word in enumerate(words):
            if word in _UNREADABLE:
                raise UnreadableError(f"it uses {word}")
            if word in _OPENERS:
                self.depth += 1
            elif word in _LOOPS:
                self.depth += 1
                self.env = {**self.env, **dict.fromkeys(words[index + 1 : index + 2], unknown())}
                return []
            elif word in _CLOSERS:
                self.depth -= 1
            elif word not in _BETWEEN:
                return words[index:]
        return []

    def after(self, words: list[str]) -> None:
        """Note what a command does to the variables of those behind it."""
        while words[1:] and words[0] in _BARE:
            words = words[1:]
        if words[0] in _EVALUATING and any(map(_evaluated, words)):
            raise UnreadableError(f"{words[0]} may run what is quoted")
        if words[0] == "printf" and words[1:]:
            self.printed(words)
        if words[0] in _ASSIGNING:
            for word in words[1:]:
                if match := _ADDITION.match(word):
                    self.assign(match[1], unknown() if match[2] else word[match.end() :])
        elif words[0] == "unset":
            self.env = {name: value for name, value in self.env.items() if name not in words}
        elif words[0] in _SOURCING:
            self.env = {name: v if "\0" in v else unknown(name) for name, v in self.env.items()}

    def printed(self, words: list[str]) -> None:
        """Note what `printf -v NAME` assigns."""
        if words[1][:2] != "-v":
            return
        name = words[1][2:] or "".join(words[2:3])
        if not name.isidentifier():
            raise UnreadableError("printf -v may run what is quoted")
        self.assign(name, unknown())

    def assign(self, name: str, value: str) -> None:
        """Assign a variable, as far as it is certain that this line is reached."""
        if name in _TELLING:
            raise UnreadableError(f"it sets {name}, which says how the shell reads on")
        if self.depth > 0 or self.joined == "||":
            value = unknown()
        elif self.joined == "&&":
            self.listed.add(name)
        self.env = {**self.env, name: value}


def _evaluated(word: str) -> bool:
    """Tell whether a word has the index of a variable, and in it what the shell would run."""
    index = _INDEX.search(word)
    return index is not None and _RUN.search(word, index.end()) is not None
