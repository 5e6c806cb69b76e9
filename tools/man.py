"""Manual pages of `freehold`, one for each group of commands: `python -m tools.man FOLDER`.

The format is man(7), which groff and mandoc read.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import typer

from tools.reference.cli import choices
from ui.cli.command_group import examples_of
from ui.cli.errors import Exit
from ui.cli.main import app

SECTION: Final = 1
NAME: Final = "freehold"
_GLOBAL: Final = ("output", "help", "install_completion", "show_completion")
"""Options that every command has, or that only a shell needs; the page of the root has `output`."""


def pages() -> dict[str, str]:
    """Each page's file name, and its text."""
    root: Any = typer.main.get_command(app)
    groups = {f"{NAME}-{name}": root.commands[name] for name in list(root.commands)}
    found = {f"{NAME}.{SECTION}": _page(NAME, root, _root(root))}
    for name, command in groups.items():
        body = list(_command(command, name.replace("-", " ", 1)))
        found[f"{name}.{SECTION}"] = _page(name, command, body)
    return found


def escape(text: str) -> str:
    """The text as roff shows it: no character of it is a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    escaped = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in escaped)
    return "\n".join(f"\\&{line}" if line[:1] == "." else line for line in escaped.split("\n"))


def _page(name: str, command: Any, body: list[str]) -> str:
    title = f'.TH {name.upper()} {SECTION} "" "Freehold {version("freehold")}" "Freehold"'
    about = escape(_paragraphs(command)[0].rstrip("."))
    return "\n".join([title, ".SH NAME", f"{escape(name)} \\- {about}", *body]) + "\n"


def _root(root: Any) -> list[str]:
    commands = [
        line
        for name in list(root.commands)
        for line in (f".TP\n.BR {NAME}\\-{escape(name)} ({SECTION})",
                     escape(_paragraphs(root.commands[name])[0]))
    ]  # fmt: skip
    codes = [f".TP\n{int(each)}\n{escape(each.name.lower().replace('_', ' '))}" for each in Exit]
    return [
        ".SH SYNOPSIS", ".B freehold", "[OPTIONS] NOUN VERB [ARGUMENTS]", ".SH COMMANDS",
        *commands, ".SH OPTIONS", *_options(root), ".SH EXIT STATUS", *codes,
    ]  # fmt: skip


def _command(command: Any, name: str) -> Iterator[str]:
    """A section for a command, or for each below it."""
    below: Any = getattr(command, "commands", None)
    if below is not None:
        for each in list(below):
            yield from _command(below[each], f"{name} {each}")
        return
    yield f".SH {escape(name.upper())}"
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    words = [f"{each.name.upper()}{'...' * (each.nargs != 1)}" for each in arguments]
    shown = " ".join(word if arg.required else f"[{word}]"
                     for word, arg in zip(words, arguments, strict=True))  # fmt: skip
    yield f".B {escape(name)}\n{escape(f'[OPTIONS] {shown}'.strip())}"
    for paragraph in _paragraphs(command):
        yield f".PP\n{escape(paragraph)}"
    for word, argument in zip(words, arguments, strict=True):
        yield f".TP\n.I {escape(word)}\n{escape(_about(argument))}"
    yield from _options(command)
    yield ".PP\nExamples:\n.PP\n.nf"
    yield from (f"    {escape(each)}" for each in examples_of(command.epilog))
    yield ".fi"


def _options(command: Any) -> Iterator[str]:
    for each in command.params:
        if each.param_type_name != "option" or each.hidden:
            continue
        if each.name in _GLOBAL and not (each.name == "output" and not command.name):
            continue
        value = "" if each.is_flag else f" {each.name.upper()}"
        names = ", ".join(f"{name}{value}" for name in (*each.opts, *each.secondary_opts))
        yield f".TP\n.B {escape(names)}\n{escape(_about(each))}"


def _about(parameter: Any) -> str:
    text = " ".join((parameter.help or "").split())
    words = [word for word in choices(parameter) if word]
    return f"{text} One of {', '.join(words)}." if words else text


def _paragraphs(command: Any) -> list[str]:
    return [" ".join(part.split()) for part in (command.help or "").strip().split("\n\n")]


def main(folder: Path) -> None:
    """Write every page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text)
    print(f"{len(pages())} pages in {folder}: man -l {folder}/{NAME}.{SECTION}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
