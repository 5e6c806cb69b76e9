"""`freehold identity group …`: policies that several entities share."""

from typing import Annotated, Any, Final

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import (
    CliContext,
    Yes,
    api_path,
    cli_context,
    confirm,
    fetch_pages,
    is_id,
    without_empty,
)
from ui.cli.errors import CliError, Exit
from ui.cli.identity_entity import Metadata, find_entity, parse_pairs
from ui.cli.output import print_note

app = CommandGroup("Policies that several entities share.")

COLUMNS: Final = ("name", "type", "policies", "id")
Name = Annotated[str, typer.Argument(help="Name of the group.")]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy", help="A policy; may be repeated.", autocompletion=completion.policy_names
    ),
]
Entities = Annotated[list[str], typer.Argument(metavar="ENTITY…", help="Names of entities.")]


@app.command(
    "freehold identity group create developers --policy app-read",
    "freehold identity group create devs --external --policy app-read",
)
def create(
    context: typer.Context,
    name: Name,
    policy: Policies = None,
    metadata: Metadata = None,
    external: Annotated[
        bool, typer.Option("--external", help="An identity source says who is in it.")
    ] = False,
) -> None:
    """Create a group."""
    current = cli_context(context)
    body = without_empty(
        name=name,
        type="external" if external else None,
        policies=policy,
        metadata=parse_pairs(metadata),
    )
    current.print_result(current.client.call("POST", api_path("groups"), body))


@app.command("freehold identity group list", name="list")
def list_(context: typer.Context) -> None:
    """List the groups."""
    current = cli_context(context)
    rows = list(fetch_pages(current.client, api_path("groups"), "groups"))
    current.print_result(rows, COLUMNS)


@app.command("freehold identity group get developers")
def get(context: typer.Context, name: Name) -> None:
    """Show a group with its members."""
    current = cli_context(context)
    found = current.client.call("GET", api_path("groups", find_group(current, name)))
    current.print_result(found)


@app.command(
    "freehold identity group update developers --policy app-read",
    "freehold identity group update company --group developers --group operators",
)
def update(
    context: typer.Context,
    name: Name,
    policy: Policies = None,
    metadata: Metadata = None,
    group: Annotated[
        list[str] | None, typer.Option(help="A group that is a member; may be repeated.")
    ] = None,
) -> None:
    """Change a group; what is left out stays.

    `--policy`, `--metadata` and `--group` replace all of it; an empty one (`--policy ""`) clears
    it.
    """
    current = cli_context(context)
    groups = None if group is None else [find_group(current, one) for one in group if one]
    policies = None if policy is None else [one for one in policy if one]
    body = without_empty(policies=policies, metadata=parse_pairs(metadata), groups=groups)
    if not body:
        raise typer.BadParameter("no change is given")
    at = api_path("groups", find_group(current, name))
    current.print_result(current.client.call("PATCH", at, body))


@app.command("freehold identity group add developers ann bob")
def add(context: typer.Context, name: Name, entities: Entities) -> None:
    """Add entities to a group."""
    _change(cli_context(context), name, "add", entities)


@app.command("freehold identity group remove developers bob")
def remove(context: typer.Context, name: Name, entities: Entities) -> None:
    """Take entities out of a group; its policies end for them with the next request."""
    _change(cli_context(context), name, "remove", entities)


@app.command("freehold identity group alias devs cn=devs,ou=groups --accessor auth_ldap_1f0c")
def alias(
    context: typer.Context,
    name: Name,
    source_name: Annotated[
        str, typer.Argument(metavar="SOURCE-NAME", help="Name of the group at the source.")
    ],
    accessor: Annotated[str, typer.Option(help="Accessor of the auth mount.")],
) -> None:
    """Have a group of an identity source fill an external group; another alias is replaced."""
    current = cli_context(context)
    body = {
        "name": source_name,
        "mount_accessor": accessor,
        "group_id": find_group(current, name),
    }
    current.print_result(current.client.call("POST", api_path("group-aliases"), body))


@app.command(
    "freehold identity group delete developers", "freehold identity group delete developers --yes"
)
def delete(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Delete a group; its members lose its policies."""
    current = cli_context(context)
    at = api_path("groups", find_group(current, name))
    confirm(f"Delete the group {name}?", yes=yes)
    current.client.call("DELETE", at)
    print_note(f"group {name} is deleted")


def _change(current: CliContext, name: str, how: str, entities: list[str]) -> None:
    body = {how: [find_entity(current, one) for one in entities]}
    at = api_path("groups", find_group(current, name), "members")
    current.print_result(current.client.call("POST", at, body))


def find_group(current: CliContext, name: str) -> str:
    """The id of the group of this name; an id is its own. Raises `CliError`."""
    if is_id(name):
        return name
    rows: list[dict[str, Any]] = list(fetch_pages(current.client, api_path("groups"), "groups"))
    for row in rows:
        if row["name"].casefold() == name.casefold():
            return str(row["id"])
    raise CliError(f"no group {name}: `freehold identity group list` lists them", Exit.NOT_FOUND)
