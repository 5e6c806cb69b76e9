"""`freehold identity …`: who somebody is, what their credentials have reached, and their end."""

from typing import Annotated, Any, Final

import typer

from ui.cli import completion, identity_entity, identity_group
from ui.cli.command_group import CommandGroup
from ui.cli.context import CliContext, api_path, cli_context
from ui.cli.errors import CliError, FaultsError
from ui.cli.output import print_note

app = CommandGroup("Who somebody is, and what their credentials have reached.")
app.add_group(identity_entity.app, "entity")
app.add_group(identity_entity.aliases, "alias")
app.add_group(identity_group.app, "group")
COLUMNS: Final = ("path", "rotator", "state", "version", "current_version", "fetched_at")
BY_HAND: Final = "by hand"

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A user, the id of an API key, or the accessor of a token.",
        autocompletion=completion.user_names,
    ),
]


@app.command("freehold identity secrets ann")
def secrets(context: typer.Context, name: Name) -> None:
    """List the secrets that an identity has fetched, in the order in which to rotate them."""
    current = cli_context(context)
    _print_plan(current, _read_plan(current, name))


@app.command("freehold identity compromise ann", "freehold identity compromise ann --yes")
def compromise(
    context: typer.Context,
    name: Name,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Begin. Without it the plan is printed only.")
    ] = False,
) -> None:
    """End all credentials of an identity, and rotate what it has fetched.

    A user is disabled. Run it again to go on where it was cut off, and to see how far it is: it
    exits with 0 once everything was replaced or is being replaced.
    """
    current = cli_context(context)
    plan = _read_plan(current, name)
    if not yes:
        _print_plan(current, plan)
        print_note(f"nothing was done; begin with: freehold identity compromise {name} --yes")
        return
    current.client.call("POST", api_path("identities", name, "revoke"))
    refused = list(filter(None, (_begin(current, row) for row in plan["secrets"])))
    plan = _read_plan(current, plan["id"] if plan["kind"] == "token" else plan["name"])
    _print_plan(current, plan)
    if faults := refused + _left_to_do(plan):
        raise FaultsError(faults)


def _read_plan(current: CliContext, name: str) -> dict[str, Any]:
    plan: dict[str, Any] = current.client.call("GET", api_path("identities", name))
    return plan


def _print_plan(current: CliContext, plan: dict[str, Any]) -> None:
    rows = [row | {"rotator": row["rotator"] or BY_HAND} for row in plan["secrets"]]
    current.print_result(rows, COLUMNS)
    if plan["hidden"]:
        print_note(f"{plan['hidden']} more that your policies do not show")


def _begin(current: CliContext, row: dict[str, Any]) -> str:
    """Begin the rotation of one secret; why it could not begin."""
    if row["state"] != "pending" or not row["rotator"]:
        return ""
    try:
        current.client.call("POST", api_path("rotate", row["path"]), {"cause": "compromise"})
    except CliError as error:
        return f"{row['path']} could not be started: {error}"
    return ""


def _left_to_do(plan: dict[str, Any]) -> list[str]:
    """What the command cannot do by itself."""
    faults = [
        f"{row['path']} has no rotator: replace it by hand, and write it (`freehold secret put`)"
        for row in plan["secrets"]
        if row["state"] == "pending" and not row["rotator"]
    ]
    faults += [
        f"{row['path']} is stuck: `freehold rotation history {row['path']}`"
        for row in plan["secrets"]
        if row["state"] == "stuck"
    ]
    if plan["hidden"]:
        faults.append(
            f"{plan['hidden']} secrets are hidden from you: somebody who sees them has to go on"
        )
    if plan["partial"]:
        faults.append("there are more secrets than one plan holds: run this again once it is done")
    return faults
