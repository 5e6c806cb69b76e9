"""Where a secret's value comes from: stdin or a file. The command line only if asked for."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import typer

from ui.cli.errors import CliError, Exit

MAX_INPUT: Final = 1 << 20  # bytes; the server's bound for a value
MAX_LINE: Final = 1 << 12  # characters; over the longest token or share


def read_value(
    file: Path | None,
    literal: str | None,
    *,
    as_json: bool,
    option: str = "--file FILE",
    otherwise: str = "",
) -> Any:
    """The value: of `--file`, of `--value` (visible to other users), else of stdin.

    One closing newline is taken off text. At a terminal it is asked for, without echo. Raises
    `CliError` when it is no JSON but should be, is not UTF-8 or too long. For that message:
    `option` is how the command takes the file, `otherwise` what it takes in place of a document.
    """
    if file is not None and literal is not None:
        raise typer.BadParameter("give either --file or --value")
    text = _read(file) if literal is None else literal
    if not as_json:
        return text
    place = "--value" if literal is not None else f"{file}" if file else "stdin"
    if not text.strip():
        ways = ", ".join(filter(None, (f"{option} or stdin", otherwise)))
        raise CliError(f"{place} is empty, JSON is expected: {ways}", Exit.USAGE)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        at = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise CliError(
            f"{place} is not JSON{at}: no other format is read here", Exit.USAGE
        ) from None


def read_secret_line(prompt: str) -> str:
    """A token or a share: asked for without echo at a terminal, else the first line of stdin.

    Raises `CliError` when there is none.
    """
    if sys.stdin.isatty():
        line: str = typer.prompt(prompt, hide_input=True, err=True)
    else:
        line = sys.stdin.readline(MAX_LINE)
    if not line.strip():
        raise CliError(f"{prompt.lower()}: nothing came from stdin")
    return line.strip()


def read_new_password(what: str) -> str:
    """A new password: twice without echo at a terminal, else the first line of stdin.

    Raises `CliError` when there is none.
    """
    if sys.stdin.isatty():
        line: str = typer.prompt(what, hide_input=True, confirmation_prompt=True, err=True)
        return line
    return read_secret_line(what)


def _read(file: Path | None) -> str:
    if file is None and sys.stdin.isatty():
        typed: str = typer.prompt("Value", hide_input=True, err=True)
        return typed
    try:
        if file is None:
            raw = sys.stdin.buffer.read(MAX_INPUT + 1)
        else:
            with file.open("rb") as opened:
                raw = opened.read(MAX_INPUT + 1)
    except OSError as error:
        raise CliError(f"cannot read {file or 'stdin'}: {error.strerror}") from None
    if len(raw) > MAX_INPUT:
        raise CliError(f"the value is over {MAX_INPUT} bytes", Exit.USAGE)
    try:
        return raw.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise CliError(
            "the value is not UTF-8: encode it, for example as base64", Exit.USAGE
        ) from None
