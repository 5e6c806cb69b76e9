"""The `freehold` command: its groups, its global options, and how it ends."""

import gc
import os
import sys
import traceback
from collections import UserDict
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer
from typer.core import TyperGroup
from typer.main import get_group

from ui.cli.command_group import add_command
from ui.cli.context import CliContext, cli_context
from ui.cli.doctor import doctor
from ui.cli.errors import CliError, Exit
from ui.cli.login import login, logout, status
from ui.cli.output import OutputFormat, print_note
from ui.cli.run import run
from ui.cli.template import template
from ui.cli.times import duration
from ui.cli.unwrap import unwrap
from ui.cli.wrapped import WrappedAnswerError

_OUTPUT: Final = 1  # the descriptor of stdout
_OF_UNIX: Final = frozenset({"fcntl", "grp", "pwd", "resource", "termios"})
_YOUNG: Final = 50_000
"""New containers before the collector looks at them. What a command loads stays: to look at it time
and again took a tenth of the loading."""

GROUPS: Final = (
    "secret", "policy", "user", "identity", "role", "key", "token", "sessions", "auth", "mfa",
    "mount", "audit", "operator", "agent", "node", "storage", "backup", "import", "rotation",
    "credentials", "lease", "control", "fleet", "kubernetes",
)  # fmt: skip
"""In the order of the help; each is a module beside this one, and its `app`."""
MODULES: Final = {"import": "import_vault"}
"""Of groups whose names are no names of modules."""


class LazyGroups(TyperGroup):
    """The root: its own commands, and `GROUPS`, each loaded when it is first used.

    To load all of them is half of what is done before the first command runs, and an agent's start
    would wait for it.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _LazyCommands({**self.commands, **dict.fromkeys(GROUPS)})


class _LazyCommands(UserDict[str, Any]):
    """Commands by name; None: not loaded yet."""

    def __getitem__(self, name: str) -> Any:
        if self.data[name] is None:
            module = import_module(f"ui.cli.{MODULES.get(name, name)}")
            group = get_group(module.app.typer)
            group.name = name
            self.data[name] = group
        return self.data[name]


app = typer.Typer(
    help="Freehold keeps secrets on your own machines.",
    cls=LazyGroups,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # a traceback with locals could show a secret
)


def version(context: typer.Context) -> None:
    """Print the version of this program."""
    current = cli_context(context)
    text = f"freehold {_version()}"
    current.print_result(
        text if current.output_format is OutputFormat.TABLE else {"version": _version()}
    )


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"freehold {_version()}")
        raise typer.Exit


def _version() -> str:
    """The version, by the name of the folder beside this package.

    `importlib.metadata` would load mail and archives at each start.
    """
    beside = [file.name for file in Path(__file__).parents[2].glob("freehold-*.dist-info")]
    if len(beside) == 1:
        return beside[0].removeprefix("freehold-").removesuffix(".dist-info")
    from importlib.metadata import version

    return version("freehold")


add_command(app, status, "freehold status", "freehold status -o json")
add_command(app, login, "freehold login", "freehold login < token-file")
add_command(app, logout, "freehold logout")
add_command(
    app, unwrap, "freehold unwrap s.TOKEN", "freehold unwrap - < token-file",
)  # fmt: skip
add_command(
    app, run, "freehold run --secret secret/app/env -- ./server",
    "freehold run --env DB_PASSWORD=secret/app/db#password -- ./server",
    "freehold run --watch --env DB_PASSWORD=secret/app/db#password -- ./server",
    "freehold run --watch --file db.json=secret/app/db --on-change signal:HUP -- ./server",
    context_settings={"allow_interspersed_args": False},
)  # fmt: skip
add_command(
    app, template,
    "freehold template app.conf.j2 --out /etc/app/app.conf --owner app:app --mode 0640",
    "freehold template app.conf.j2 --out app.conf --watch --exec 'systemctl reload app'",
    "freehold template --config templates.toml --watch",
)  # fmt: skip
add_command(
    app, doctor, "freehold doctor --config /etc/freehold/vault.yaml",
    "freehold doctor --config /etc/freehold/vault.yaml --name vault.example.com -o json",
)  # fmt: skip
add_command(app, version, "freehold version", "freehold version -o json")


@app.callback()
def options(
    context: typer.Context,
    address: Annotated[
        str | None,
        typer.Option(help="Address of the server; else FREEHOLD_ADDR or FREEHOLD_CONTROL_ADDR."),
    ] = None,
    output: Annotated[
        OutputFormat, typer.Option("--output", "-o", help="How to print results.")
    ] = OutputFormat.TABLE,
    wrap_ttl: Annotated[
        str,
        typer.Option(
            help="Put the answer behind a token that `unwrap` takes once, for this long (5m)."
        ),
    ] = "",
    _wanted: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Freehold keeps secrets on your own machines."""
    duration(wrap_ttl, "--wrap-ttl")  # refuses what is none, before anything is asked
    context.obj = CliContext(address, output, wrap_ttl)


def main() -> None:
    """Run the command. Every failure is a line on stderr and an exit code."""
    gc.set_threshold(_YOUNG)
    sys.exit(_run())


def _run() -> int:
    if sys.stdout is None:  # closed by the caller (`>&-`)
        if not _serves(sys.argv[1:]):
            print_note("freehold: the output cannot be written: it is closed")
            return Exit.ERROR
        sys.stdout = _discarding()
    try:
        code = app(prog_name="freehold", standalone_mode=False)
        sys.stdout.flush()
    except WrappedAnswerError as answer:
        answer.show()
        sys.stdout.flush()
        return Exit.OK
    except CliError as error:
        for line in error.lines:
            print_note(f"freehold: {line}")
        return error.exit_code
    except typer.TyperException as error:
        return _usage_error(error)
    except typer.Abort:
        print_note("freehold: aborted")
        return Exit.INTERRUPTED
    except BrokenPipeError:  # whoever read has enough, as `head` does
        sys.stdout = None  # the interpreter must not flush it again
        return Exit.ERROR
    except OSError as error:
        sys.stdout = None  # the same: what could not be written would fail once more
        print_note(
            f"freehold: {error.filename or 'the output cannot be written'}: {error.strerror}"
        )
        return Exit.ERROR
    except ModuleNotFoundError as error:
        return _missing_module(error)
    except Exception as error:  # noqa: BLE001  # shown without its text: that could hold a secret
        print_note(
            f"freehold: internal error, please report it: {'; '.join(_error_locations(error))}"
        )
        return Exit.ERROR
    return int(code or Exit.OK)


def _missing_module(error: ModuleNotFoundError) -> int:
    """Windows has no module of Unix's: it runs the client alone."""
    if error.name in _OF_UNIX:
        print_note(
            "freehold: this command needs Linux or macOS: run it there, or in the Windows "
            "Subsystem for Linux. On Windows `freehold` is the client of agents elsewhere"
        )
    else:
        print_note(f"freehold: {error.name} is not installed: install freehold anew")
    return Exit.ERROR


def _serves(arguments: list[str]) -> bool:
    """Whether the command is `agent serve`, which writes nothing to its output."""
    return ("agent", "serve") in pairwise(arguments)


def _discarding() -> TextIO:
    """An output that goes nowhere. It has the place of the closed one, which no file may have."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        os.fstat(_OUTPUT)
    except OSError:
        os.dup2(descriptor, _OUTPUT)
    return open(descriptor, "w", encoding="utf-8")  # noqa: PTH123  # a descriptor


def _usage_error(error: typer.TyperException) -> int:
    """A wrong option or argument: what the parser says, and where help is."""
    text = " ".join(getattr(error, "format_message", error.__str__)().split()).rstrip(".")
    command = getattr(getattr(error, "ctx", None), "command_path", "freehold")
    text = text.removeprefix("Invalid value: ").replace("Value error, ", "")
    text = text[:1].lower() + text[1:]
    if text:  # without arguments the help is the whole answer
        see = " See" if text.endswith("?") else "; see"
        print_note(f"freehold: {text}{see} `{command} --help`")
    return Exit.USAGE


def _error_locations(error: BaseException) -> Iterator[str]:
    """Type and place of each error in it: enough to find it, and no value."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _error_locations(inner)
        return
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    yield f"{type(error).__name__}{place}"
