"""docs/reference/cli.md: every command of `freehold`, from the Typer application."""

import re
from collections.abc import Iterator
from typing import Any, Final

import typer

from tools.reference.markdown import code, matched, meanings, page, table
from ui.cli.errors import Exit
from ui.cli.main import app

TITLE: Final = "Command line"
INTRO: Final = """
`freehold --help` lists the groups, `freehold GROUP --help` the commands of one. `freehold --install-completion` installs
completion for your shell.

## How it finds the server

| variable | meaning | default |
|---|---|---|
| `FREEHOLD_ADDR` | address of the agent; `--address` wins | `https://127.0.0.1:8200` |
| `FREEHOLD_TOKEN` | token or API key | the one that `freehold login` stored |
| `FREEHOLD_CACERT` | authorities of the agent's certificate, PEM | those of the system |
| `FREEHOLD_CLIENT_CERT`, `FREEHOLD_CLIENT_KEY` | your client certificate and key, PEM | none |

A variable that is not set is read from the `VAULT_` variable of the same name. For `freehold fleet`, which talks to a
control plane, the variables begin with `FREEHOLD_CONTROL_`:

| variable | meaning | default |
|---|---|---|
| `FREEHOLD_CONTROL_ADDR` | address of the control plane; `--address` wins | `http://127.0.0.1:8300` |
| `FREEHOLD_CONTROL_TOKEN` | session or API token | the one that `freehold fleet login` stored |
| `FREEHOLD_CONTROL_CACERT`, `…_CLIENT_CERT`, `…_CLIENT_KEY` | as above | |
| `FREEHOLD_ORG` | organization | the one you are signed in to |

- `freehold login` stores a token in `~/.freehold-token` with mode 0600. A file that others can read is refused. A
  variable wins over the file.
- No option takes a token, because everybody on the machine can read a command line.
- Plain HTTP is allowed to this machine only. Proxies from the environment (`HTTPS_PROXY`) are not used.

## Output

`--output table` (the default) is for people: control characters are escaped, and lists show the most important columns.
`--output json` (`-o json`) has every field, named as in the API. Results go to stdout, everything else to stderr. An
empty list prints `none` on stderr, or `[]` as JSON. The option may stand before or after a command that has a result; it
is not repeated below.

An error is one line and ends with the id of the request. `freehold audit query --request ID` finds it in the audit log.

## Exit codes
"""


def render() -> str:
    """The page."""
    told = meanings("cli")["exit"]
    matched((str(int(each)) for each in Exit), told, "cli.toml")
    rows = [(str(int(each)), told[str(int(each))]) for each in Exit]
    root = typer.main.get_command(app)
    return page(TITLE, INTRO, [table(("code", "meaning"), rows), *_group(root, "freehold", 2)])


def _group(command: Any, name: str, level: int) -> Iterator[str]:
    """A command, and those below it."""
    below: Any = getattr(command, "commands", None)
    yield f"{'#' * min(level, 4)} `{name}`"
    yield _help(command)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and _shown(p)]
    if below is None:
        options = [each for each in options if each.name != "output"]
    if below is None or getattr(command, "invoke_without_command", False):
        yield f"```\n{_usage(name, arguments, options)}\n```"
    if arguments:
        rows = [(code(_argument(each)), _sentence(each.help)) for each in arguments]
        yield table(("argument", ""), rows)
    if options:
        yield table(("option", ""), [(_names(each), _sentence(each.help)) for each in options])
    for each in list(below or ()):  # its values are loaded when they are asked for
        yield from _group(below[each], f"{name} {each}", level + 1)


def _shown(option: Any) -> bool:
    return not option.hidden and option.name not in {
        "help",
        "install_completion",
        "show_completion",
    }


def _help(command: Any) -> str:
    """All of it, its paragraphs as paragraphs."""
    text = (command.help or "").strip()
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text))


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _argument(argument: Any) -> str:
    name = str(argument.metavar or argument.name).upper().strip("{}[]").removesuffix("...")
    name = f"{name}…" if argument.nargs != 1 else name
    return name if argument.required else f"[{name}]"


def _usage(name: str, arguments: list[Any], options: list[Any]) -> str:
    needed = [f" {each.opts[0]} {_value(each)}" for each in options if each.required]
    optional = " [OPTIONS]" if len(needed) < len(options) else ""
    return f"{name}{optional}{''.join(needed)}{''.join(f' {_argument(a)}' for a in arguments)}"


def _value(option: Any) -> str:
    return str(option.opts[0]).lstrip("-").upper().replace("-", "_")


def _names(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag else f" {_value(option)}"
    shown = ", ".join(code(f"{each}{value}") for each in names)
    return f"{shown} (required)" if option.required else shown
