"""`freehold identity entity …`, `… alias …`: users with their names at auth mounts."""

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
from ui.cli.output import print_note

app = CommandGroup("Users with aliases, metadata and groups.")
aliases = CommandGroup("Names of entities at auth mounts.")

COLUMNS: Final = ("name", "disabled", "policies", "id")
ALIAS_COLUMNS: Final = ("name", "mount_path", "entity_id", "verified_at", "id")
Name = Annotated[
    str, typer.Argument(help="Name of the entity.", autocompletion=completion.user_names)
]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy", help="A policy; may be repeated.", autocompletion=completion.policy_names
    ),
]
Metadata = Annotated[
    list[str] | None, typer.Option("--metadata", help="KEY=VALUE; may be repeated.")
]
AliasId = Annotated[str, typer.Argument(metavar="ID", help="Id of the alias.")]


@app.command("freehold identity entity create ann --policy app-read --metadata team=web")
def create(
    context: typer.Context, name: Name, policy: Policies = None, metadata: Metadata = None
) -> None:
    """Create an entity, which is a user."""
    current = cli_context(context)
    body = without_empty(name=name, policies=policy, metadata=parse_pairs(metadata))
    current.print_result(current.client.call("POST", api_path("entities"), body))


@app.command("freehold identity entity list", name="list")
def list_(context: typer.Context) -> None:
    """List the entities."""
    current = cli_context(context)
    rows = list(fetch_pages(current.client, api_path("entities"), "entities"))
    current.print_result(rows, COLUMNS)


@app.command("freehold identity entity get ann")
def get(context: typer.Context, name: Name) -> None:
    """Show an entity with its aliases and groups."""
    current = cli_context(context)
    at = api_path("entities", find_entity(current, name))
    current.print_result(current.client.call("GET", at))


@app.command(
    "freehold identity entity update ann --policy app-read",
    "freehold identity entity update ann --disable",
)
def update(
    context: typer.Context,
    name: Name,
    policy: Policies = None,
    metadata: Metadata = None,
    active: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Whether its tokens and keys work."),
    ] = None,
) -> None:
    """Change an entity from its next request on; what is left out stays.

    `--policy` and `--metadata` replace all of it. One that is disabled has lost its tokens for
    good.
    """
    body = without_empty(
        policies=None if policy is None else [one for one in policy if one],
        metadata=parse_pairs(metadata),
        disabled=None if active is None else not active,
    )
    if not body:
        raise typer.BadParameter("no change is given")
    current = cli_context(context)
    at = api_path("entities", find_entity(current, name))
    current.print_result(current.client.call("PATCH", at, body))


@app.command(
    "freehold identity entity merge ann ann2 --yes",
    "freehold identity entity merge ann ann2 --keep 3f0c… --yes",
)
def merge(
    context: typer.Context,
    name: Name,
    others: Annotated[list[str], typer.Argument(metavar="OTHER…", help="Entities that go.")],
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Id of the alias that stays, where two are of one mount."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Make entities one with another. Tokens and API keys of those that go end."""
    current = cli_context(context)
    confirm(f"Merge {', '.join(others)} into {name}?", yes=yes)
    body = {
        "id": find_entity(current, name),
        "merge": [find_entity(current, other) for other in others],
        "keep": keep or [],
    }
    current.print_result(current.client.call("POST", api_path("entities-merge"), body))


@app.command("freehold identity entity delete ann", "freehold identity entity delete ann --yes")
def delete(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Delete an entity with its aliases, keys and tokens."""
    current = cli_context(context)
    at = api_path("entities", find_entity(current, name))
    confirm(f"Delete the entity {name} with its aliases, keys and tokens?", yes=yes)
    current.client.call("DELETE", at)
    print_note(f"entity {name} is deleted, with its aliases, keys and tokens")


@aliases.command(
    "freehold identity alias create ann --entity ann --accessor auth_ldap_1f0c", name="create"
)
def create_alias(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name at the auth mount.")],
    accessor: Annotated[str, typer.Option(help="Accessor of the auth mount.")],
    entity: Annotated[
        str, typer.Option(help="Name of the entity; without it, a new one is made.")
    ] = "",
) -> None:
    """Have a name at an auth mount log in as an entity."""
    current = cli_context(context)
    entity_id = find_entity(current, entity) if entity else ""
    body = without_empty(name=name, mount_accessor=accessor, entity_id=entity_id)
    current.print_result(current.client.call("POST", api_path("aliases"), body))


@aliases.command("freehold identity alias list", name="list")
def list_aliases(context: typer.Context) -> None:
    """List the aliases by mount and name."""
    current = cli_context(context)
    rows = list(fetch_pages(current.client, api_path("aliases"), "aliases"))
    current.print_result(rows, ALIAS_COLUMNS)


@aliases.command(
    "freehold identity alias delete 3f0c9a52-77b1-4cf1-9d0e-5d1f0f2a9b11 --yes", name="delete"
)
def delete_alias(context: typer.Context, alias: AliasId, yes: Yes = False) -> None:
    """Delete an alias; the entity leaves the groups that the mount's source put it into."""
    confirm(f"Delete the alias {alias}?", yes=yes)
    cli_context(context).client.call("DELETE", api_path("aliases", alias))
    print_note(f"alias {alias} is deleted")


def find_entity(current: CliContext, name: str) -> str:
    """The id of the entity of this name; an id is its own. Raises `CliError`."""
    if is_id(name):
        return name
    found = current.client.call("GET", api_path("entities"), query={"name": name})["entities"]
    if not found:
        raise CliError(
            f"no entity {name}: `freehold identity entity list` lists them, and "
            "`freehold identity alias list` the names by which they log in",
            Exit.NOT_FOUND,
        )
    return str(found[0]["id"])


def parse_pairs(pairs: list[str] | None) -> dict[str, Any] | None:
    """The metadata of `KEY=VALUE` texts; None for none. Raises `typer.BadParameter`."""
    if pairs is None:
        return None
    found = [pair.partition("=") for pair in pairs if pair]
    if not all(key and sign for key, sign, _ in found):
        raise typer.BadParameter("metadata is KEY=VALUE")
    return {key: value for key, _, value in found}
