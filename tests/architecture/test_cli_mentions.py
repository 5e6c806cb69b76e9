"""Every `freehold …` that a text tells somebody to type is a command that exists."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from ui.cli.command_group import examples_of
from ui.cli.main import GROUPS, app

ROOT: Final[Any] = typer.main.get_command(app)
# What is told about the past.
HISTORY: Final = ("CHANGELOG.md",)
TEXTS: Final = (".py", ".md", ".toml", ".sh", ".yaml", ".yml", ".tsx", ".ts", ".service")
_GAP: Final = r"(?:\s+|\"\s+f?\"|\s*#\s+)"
_OPTION: Final = r"(?:(?:-o|--output)\s+\w+\s+)?"
_MENTION: Final = re.compile(
    rf"(?<![\w./-])freehold{_GAP}{_OPTION}([a-z-]+(?:{_GAP}[a-z][a-z-]*)*)"
)
_CONSOLE: Final = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END: Final = frozenset({"|", ";", "<", ">", ">>", "2>/dev/null", "||", "&&"})


def commands(command: Any = ROOT, path: str = "freehold") -> Iterator[tuple[str, Any]]:
    """Each command that does something, with how it is called."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name in list(below):
        yield from commands(below[name], f"{path} {name}")


COMMANDS: Final = dict(commands())


def found(words: list[str]) -> tuple[Any, list[str]]:
    """The command or group that these words lead to, and the words that are left."""
    command = ROOT
    while words and (below := getattr(command, "commands", None)) is not None:
        if words[0] not in below:
            break
        command, words = below[words[0]], words[1:]
    return command, words


def unknown(words: list[str]) -> str:
    """The word that names no command; empty if all do."""
    command, left = found(words)
    return left[0] if left and getattr(command, "commands", None) is not None else ""


def mentions(text: str) -> Iterator[list[str]]:
    """The words after each `freehold` that begin with a group or a command."""
    for match in _MENTION.finditer(text):
        words = re.sub(r"[\"#]|f\"", " ", match[1]).split()
        if words[0] in ROOT.commands:
            yield words


def typed(line: str) -> Iterator[list[str]]:
    """Each call of `freehold` on a line of a shell, as words."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    words = list(lexer)
    for at, word in enumerate(words):
        if word == "freehold":
            rest = words[at + 1 :]
            end = next((n for n, each in enumerate(rest) if set(each) <= set("();<>|&")), len(rest))
            yield rest[:end]


def fault(words: list[str]) -> str:
    """What is wrong with a call; empty if nothing is."""
    command, left = found([word for word in words if word not in {"-o", "json", "yaml"}])
    if getattr(command, "commands", None) is not None:
        asks = {"-h", "--help", "--version", "--install-completion"} & set(left)
        return "" if asks else f"no command: {' '.join(words)}"
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    if "--" in left:
        left = left[: left.index("--")]
    options = {word.partition("=")[0] for word in left if re.match(r"--?[a-z]", word)}
    wrong = options - known - {"-h", "--help"}
    return f"no option {sorted(wrong)}: {' '.join(words)}" if wrong else ""


def texts(root: Path) -> Iterator[tuple[str, str]]:
    """Tracked files that people read or that hold what they are told."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=root, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if name.endswith(TEXTS) and not name.startswith((*HISTORY, "tests/")):
            yield name, (root / name).read_text()


def test_every_command_that_is_named_exists(root: Path) -> None:
    """In errors, pages, scripts and documents."""
    wrong = [
        f"{name}: freehold {' '.join(words)}"
        for name, text in texts(root)
        for words in mentions(text)
        if unknown(words)
    ]
    assert wrong == []


def test_console_examples_have_options_that_exist(root: Path) -> None:
    """What a test does not replay is right, too."""
    wrong = [
        f"{name}: {problem}"
        for name, text in texts(root)
        if name.endswith(".md")
        for block in _CONSOLE.findall(text)
        for line in block.splitlines()
        if line.startswith("$ ") and line.count("'") % 2 == 0 and line.count('"') % 2 == 0
        for call in typed(line[2:])
        if (problem := fault(call))
    ]
    assert wrong == []


@pytest.mark.parametrize("path", COMMANDS)
def test_a_help_has_examples_that_can_be_typed(path: str) -> None:
    """Each is a call of this command, with options that it has."""
    command = COMMANDS[path]
    examples = examples_of(command.epilog)
    assert examples
    assert command.help
    for example in examples:
        (call,) = typed(example)
        assert f"freehold {' '.join(call)}".startswith(path), example
        assert fault(call) == "", example


@pytest.mark.parametrize("path", COMMANDS)
def test_every_argument_and_option_says_what_it_is(path: str) -> None:
    """In the help; and each command takes `--output`."""
    command = COMMANDS[path]
    assert all(each.help for each in command.params), path
    names = {name for each in command.params for name in each.opts}
    assert {"-o", "--output"} <= names
    verb = path.rsplit(maxsplit=1)[-1]
    final = verb in {"delete", "destroy", "retire", "reset", "lift", "finish"}
    assert "--yes" in names or not final or path == "freehold secret delete"  # `undelete` undoes it


def test_groups_take_the_output_too() -> None:
    """So that it may stand anywhere before the verb."""
    for name in GROUPS:
        assert "output" in {each.name for each in ROOT.commands[name].params}


def test_a_word_that_is_no_command_is_found() -> None:
    """Also where a text wraps."""
    assert list(mentions("run `freehold policy\n  write app`")) == [["policy", "write", "app"]]
    assert unknown(["policy", "write", "app"]) == "write"
    assert unknown(["policy", "put", "app"]) == ""
    assert fault(["policy", "put", "app", "--hours", "1"]).startswith("no option")
