"""`freehold mount …`: the prefixes that secrets live under, and what they inherit."""

from typing import Annotated

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, api_path, cli_context, confirm, without_empty
from ui.cli.output import print_note

app = CommandGroup("Prefixes that secrets live under.")

NewPath = Annotated[str, typer.Argument(help="The prefix, such as secret.")]
MountPath = Annotated[
    str,
    typer.Argument(help="The prefix, such as secret.", autocompletion=completion.mount_paths),
]
Version = Annotated[int | None, typer.Option(min=1, max=2, help="KV version: 1 has no history.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]


@app.command("freehold mount list", name="list")
def list_(context: typer.Context) -> None:
    """List the mounts."""
    current = cli_context(context)
    columns = ("path", "type", "version", "description", "max_versions", "cas_required")
    current.print_result(current.client.call("GET", api_path("system/mounts"))["mounts"], columns)


@app.command("freehold mount get secret")
def get(context: typer.Context, path: MountPath) -> None:
    """Show a mount."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", _at(path)))


@app.command(
    'freehold mount create payments --description "Payment service"',
    "freehold mount create database --type database",
)
def create(
    context: typer.Context,
    path: NewPath,
    version: Version = None,
    description: Description = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="kv, or database for dynamic credentials.")
    ] = None,
) -> None:
    """Create a mount."""
    current = cli_context(context)
    body = without_empty(version=version, description=description, type=type_)
    current.print_result(current.client.call("POST", _at(path), body))


@app.command("freehold mount update payments --max-versions 20 --cas-required")
def update(
    context: typer.Context,
    path: MountPath,
    version: Version = None,
    description: Description = None,
    max_versions: Annotated[int | None, typer.Option(help="Older versions are erased.")] = None,
    cas_required: Annotated[
        bool | None,
        typer.Option("--cas-required/--no-cas-required", help="Require --cas for each write."),
    ] = None,
    delete_version_after: Annotated[
        str | None, typer.Option(help="Such as 90d; a negative one switches it off.")
    ] = None,
    default_lease_ttl: Annotated[
        str | None, typer.Option(help="How long Vault's clients may keep a value, such as 1h.")
    ] = None,
    max_lease_ttl: Annotated[str | None, typer.Option(help="The longest of these.")] = None,
) -> None:
    """Change what the secrets of a mount inherit; what is left out stays."""
    body = without_empty(
        version=version,
        description=description,
        max_versions=max_versions,
        cas_required=cas_required,
        delete_version_after=delete_version_after,
        default_lease_ttl=default_lease_ttl,
        max_lease_ttl=max_lease_ttl,
    )
    if not body:
        raise typer.BadParameter("no change is given")
    current = cli_context(context)
    current.print_result(current.client.call("PATCH", _at(path), body))


@app.command("freehold mount move payments finance/payments")
def move(
    context: typer.Context,
    path: MountPath,
    target: Annotated[str, typer.Argument(help="The prefix that it is to have.")],
) -> None:
    """Move a mount with all of its secrets; policies that name its path stay as they are."""
    current = cli_context(context)
    body = {"source": path, "target": target}
    current.print_result(current.client.call("POST", api_path("system", "mount-moves"), body))


@app.command("freehold mount moves")
def moves(context: typer.Context) -> None:
    """List which mounts were moved, the latest first."""
    current = cli_context(context)
    columns = ("moved_at", "source", "target", "secrets", "moved_by", "id")
    found = current.client.call("GET", api_path("system", "mount-moves"))
    current.print_result(found["moves"], columns)


@app.command("freehold mount delete payments", "freehold mount delete payments --yes")
def delete(context: typer.Context, path: MountPath, yes: Yes = False) -> None:
    """Delete a mount and erase every secret in it, for good."""
    confirm(f"Delete {path} and erase every secret in it for good?", yes=yes)
    cli_context(context).client.call("DELETE", _at(path))
    print_note(f"{path} is deleted, with every secret in it")


def _at(path: str) -> str:
    return api_path("system/mounts", path.strip("/"))
