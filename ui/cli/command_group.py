"""A group of commands: each has an example in its help and takes `--output` on either side."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Final, TypeVar

import typer

from ui.cli.context import cli_context
from ui.cli.output import OutputFormat

EXAMPLES: Final = "Examples:\n\n"
"""Begins the last paragraph of a command's help; each example is a line after it."""

Command = TypeVar("Command", bound=Callable[..., None])
Output = Annotated[
    OutputFormat | None, typer.Option("--output", "-o", help="How to print the result.")
]


class CommandGroup:
    """Commands of one noun. `typer` is the application that they make up."""

    def __init__(self, about: str) -> None:
        self.typer = typer.Typer(help=about, no_args_is_help=True)
        self.typer.callback(help=about)(_group_output)

    def command(
        self, *examples: str, name: str | None = None, **settings: Any
    ) -> Callable[[Command], Command]:
        """Add a command. `examples` end its help; without `name` it is called as the function."""

        def add(function: Command) -> Command:
            add_command(self.typer, function, *examples, name=name, **settings)
            return function

        return add

    def add_group(self, group: "CommandGroup", name: str) -> None:
        """Add the commands of a part of this noun."""
        self.typer.add_typer(group.typer, name=name)


def add_command(
    application: typer.Typer,
    function: Callable[..., None],
    *examples: str,
    name: str | None = None,
    **settings: Any,
) -> None:
    """Add a command with its examples and `--output`."""
    if not examples:
        raise ValueError(f"{function.__name__} has no example")
    epilog = EXAMPLES + "\n".join(_escape_markup(f"  {each}") for each in examples)
    about = _paragraphs(inspect.getdoc(function) or "")
    application.command(name, help=about, epilog=epilog, **settings)(_with_output(function))


def examples_of(epilog: str | None) -> list[str]:
    """The examples in the last paragraph of a command's help."""
    lines = (epilog or "").removeprefix(EXAMPLES).splitlines()
    return [line.strip().replace("\\[", "[") for line in lines]


def _group_output(context: typer.Context, output: Output = None) -> None:
    """`freehold GROUP -o json VERB`."""
    _set_output(context, output)


def _set_output(context: typer.Context, output: OutputFormat | None) -> None:
    if output is not None:
        cli_context(context).output_format = output


def _with_output(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the global `--output` as its own too."""
    signature = inspect.signature(command, eval_str=True)

    @wraps(command)
    def run(context: typer.Context, output: OutputFormat | None = None, **given: Any) -> None:
        _set_output(context, output)
        if "context" in signature.parameters:
            command(context, **given)
        else:
            command(**given)

    parameters = dict(signature.parameters)
    context = parameters.pop("context", None) or inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    option = inspect.Parameter(
        "output", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Output
    )
    whole = signature.replace(parameters=[context, *parameters.values(), option])
    run.__signature__ = whole  # type: ignore[attr-defined]  # where typer looks for the options
    return run


def _paragraphs(text: str) -> str:
    """A docstring without the line breaks in its paragraphs, which are those of the source."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _escape_markup(text: str) -> str:
    return text.replace("[", "\\[")
