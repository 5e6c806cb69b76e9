"""The `freehold` command: its groups, its global options, and how it ends."""

import gc
import os
import sys
import traceback
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer

from ui.cli.context import CliContext, with_output_option
from ui.cli.errors import CliError, Exit
from ui.cli.lazy_groups import LazyGroups
from ui.cli.login import login, logout, status
from ui.cli.output import OutputFormat, print_note
from ui.cli.run import run

_OUTPUT: Final = 1  # the descriptor of stdout
_YOUNG: Final = 50_000
"""New containers before the collector looks at them. What a command loads stays: to look at it time
and again took a tenth of the loading."""

app = typer.Typer(
    help="Freehold: secrets on the ground of whoever owns them.",
    cls=LazyGroups,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with locals could show a secret
)
app.command()(with_output_option(status))
app.command()(with_output_option(login))
app.command()(logout)
app.command(context_settings={"allow_interspersed_args": False})(run)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"freehold {version('freehold')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    address: Annotated[str | None, typer.Option(help="The agent; else FREEHOLD_ADDR.")] = None,
    output: Annotated[
        OutputFormat, typer.Option("--output", "-o", help="How to show results.")
    ] = OutputFormat.TABLE,
    _asked: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Secrets on the ground of whoever owns them."""
    context.obj = CliContext(address, output)


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
    except CliError as error:
        for line in error.lines:
            print_note(f"freehold: {line}")
        return error.exit_code
    except typer.TyperException as error:
        return _usage_error(error)
    except typer.Abort:
        print_note("freehold: given up")
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
    except Exception as error:  # noqa: BLE001  # shown without its text: that could hold a secret
        print_note(
            f"freehold: internal error, please report it: {'; '.join(_error_locations(error))}"
        )
        return Exit.ERROR
    return int(code or Exit.OK)


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
    if text:  # without arguments the help is the whole answer
        print_note(f"freehold: {text}; see `{command} --help`")
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
