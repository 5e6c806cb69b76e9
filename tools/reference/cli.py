"""docs/reference/cli.md: every command of `freehold`, from the Typer application."""

import re
from collections.abc import Iterator
from typing import Any, Final, Literal, get_args, get_origin

import typer

from tools.reference.markdown import code, matched, meanings, page, table
from ui.cli.command_group import examples_of
from ui.cli.errors import Exit
from ui.cli.main import app

TITLE: Final = "Command line"
INTRO: Final = """
`freehold -h` lists the groups, `freehold GROUP -h` the commands of one; the help of each command ends with examples.
`freehold --install-completion` installs completion for your shell: commands, options, and the names of secrets, users,
policies, roles, mounts and agents. `make man` builds manual pages.

## Verbs

Commands are `freehold NOUN VERB`. These verbs mean the same for every noun:

| verb | meaning |
|---|---|
| `get`, `list` | show one, show all |
| `create` | create a new one; it must not exist |
| `put` | create one, or replace the whole (secrets, policies, roles) |
| `update` | change what is given; the rest stays |
| `delete` | remove it |

Other verbs mean something else:

| verb | meaning |
|---|---|
| `secret delete`, `undelete` | hide versions of a secret, and restore them |
| `secret destroy` | erase versions of a secret, or all of it, for good |
| `secret rollback`, `rollout rollback` | make an older version the current one |
| `revoke` | invalidate a key or a token: its next request is refused |
| `approve`, `refuse` | answer a request to join |
| `lock`, `retire` | refuse an agent until it enrols again, or for good |
| `ack` | acknowledge an alert |
| `adopt` | become the owner of a channel or a schedule |
| `lift` | end a legal hold, which stays on record |
| `accept-log`, `accept-rollback`, `confirm-clock` | accept a state that Freehold refuses by default, after you looked into it |
| `reset` | drop the policies of a control plane and their version |
| `check` | test a policy or a proof |
| `verify`, `compare` | check signatures, hash chains and captures |
| `replay` | decide recorded accesses again, under another policy |
| `push` | write a policy's next version and roll it out |
| `failed`, `retry` | list the messages that could not be delivered, and send them again |
| `seal`, `unseal` | lock the whole vault, and open it |
| `migrate` | copy a vault to another database |
| `rotate`, `rewrap`, `rekey` | replace the key-encryption key, apply it to older values, replace the root key |

A command that cannot be undone asks for confirmation. `--yes` (`-y`) answers it. Without a terminal there is nobody to ask:
the command ends with exit code 64.

## Times

Results have times in RFC 3339, UTC. An option takes such a time, a date (`2026-11-01`, UTC), or a duration such as `90s`,
`24h` or `30d`. For `--since`, `--until` a duration is in the past; for `--expires-at`, `--expiring-before`, `--at` it is in
the future.

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
`--output json` (`-o json`) and `--output yaml` have every field, named as in the API. Documents such as a policy are JSON in
a table too. Results go to stdout, everything else to stderr. An empty list prints `none` on stderr, or `[]` as JSON. Every
command and every group takes the option, so that it may stand anywhere; it is not repeated below. Progress bars of long
work appear on stderr if it is a terminal.

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
    if name != "freehold":
        options = [each for each in options if each.name != "output"]
    if below is None:
        yield f"```\n{_usage(name, arguments, options)}\n```"
    if arguments:
        rows = [(code(_argument(each)), _about(each)) for each in arguments]
        yield table(("argument", ""), rows)
    if options:
        yield table(("option", ""), [(_names(each), _about(each)) for each in options])
    if examples := examples_of(command.epilog):
        yield "```\n" + "\n".join(examples) + "\n```"
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


def _about(parameter: Any) -> str:
    """What it is for, and the words that it takes if they are few."""
    text = " ".join((parameter.help or "").split())
    words = [code(word) for word in choices(parameter) if word]
    return f"{text} One of {', '.join(words)}." if words else text


def choices(parameter: Any) -> tuple[str, ...]:
    """The words that an argument or option takes; none if it takes others too."""
    annotation = parameter.type_descriptor.annotation
    found = [annotation, *get_args(annotation)]
    return next((get_args(each) for each in found if get_origin(each) is Literal), ())


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
