"""`freehold mount …`: the prefixes that secrets live under, and what they inherit."""

from typing import Annotated

import typer

from ui.cli.api_path import api_path
from ui.cli.arguments import without_empty
from ui.cli.context import cli_context, with_output_option

app = typer.Typer(help="Prefixes of the name space.", no_args_is_help=True)

Where = Annotated[str, typer.Argument(help="The prefix, such as secret.")]
Version = Annotated[int | None, typer.Option(min=1, max=2, help="KV version: 1 has no history.")]
About = Annotated[str | None, typer.Option("--description", help="What it is for.")]


@app.command("list")
@with_output_option
def list_(context: typer.Context) -> None:
    """List the mounts."""
    current = cli_context(context)
    columns = ("path", "type", "version", "description", "max_versions", "cas_required")
    current.print_result(current.client.call("GET", api_path("system/mounts"))["mounts"], columns)


@app.command()
@with_output_option
def show(context: typer.Context, path: Where) -> None:
    """Show a mount."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", _at(path)))


@app.command()
@with_output_option
def create(
    context: typer.Context, path: Where, version: Version = None, description: About = None
) -> None:
    """Make a mount."""
    current = cli_context(context)
    body = without_empty(version=version, description=description)
    current.print_result(current.client.call("POST", _at(path), body))


@app.command()
@with_output_option
def update(
    context: typer.Context,
    path: Where,
    version: Version = None,
    description: About = None,
    max_versions: Annotated[int | None, typer.Option(help="Older ones are erased.")] = None,
    cas_required: Annotated[bool | None, typer.Option("--cas-required/--no-cas-required")] = None,
    delete_version_after: Annotated[
        str | None, typer.Option(help="Such as 90d; a negative one switches it off.")
    ] = None,
) -> None:
    """Change what the secrets of a mount inherit; what is left out stays."""
    current = cli_context(context)
    body = without_empty(
        version=version,
        description=description,
        max_versions=max_versions,
        cas_required=cas_required,
        delete_version_after=delete_version_after,
    )
    current.print_result(current.client.call("PATCH", _at(path), body))


@app.command()
def erase(
    context: typer.Context,
    path: Where,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a mount with every secret in it, for good."""
    if not yes:
        typer.confirm(f"Erase {path} with every secret in it for good?", abort=True, err=True)
    cli_context(context).client.call("DELETE", _at(path))


def _at(path: str) -> str:
    return api_path("system/mounts", path.strip("/"))
