"""`freehold mfa …`: second factors: one's own, those of entities, and which logins need one."""

from typing import Annotated, Final

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import CliContext, Yes, api_path, cli_context, confirm
from ui.cli.identity_entity import find_entity
from ui.cli.identity_group import find_group
from ui.cli.input import read_secret_line
from ui.cli.login import FACTOR_CODE
from ui.cli.output import print_note

app = CommandGroup("Second factors: your own, and which logins need one.")

COLUMNS: Final = ("id", "type", "name", "created_at", "used_at")
RULES: Final = ("name", "methods", "types", "accessors", "entities", "groups")

Rule = Annotated[str, typer.Argument(help="Name of the enforcement.")]
Names = list[str] | None


@app.command("freehold mfa enroll --name phone")
def enroll(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="What you call it.")] = "",
) -> None:
    """Enrol an authenticator app: shows its secret, asks for a first code, shows recovery codes."""
    current = cli_context(context)
    made = current.client.call("POST", api_path("mfa", "totp"), {"name": name})
    print_note("scan this with an authenticator app, or type the secret into it:")
    print_note(_qr_code(made["url"]))
    print_note(f"secret  {made['secret']}")
    print_note(f"url     {made['url']}")
    body = {"passcode": read_secret_line("First code of the app")}
    done = current.client.call("POST", api_path("mfa", "totp", "confirm"), body)
    print_note(f"second factor {done['factor']['id']} counts from now on")
    _print_codes(current, done["recovery_codes"])


@app.command("freehold mfa list", "freehold mfa list --entity ann", name="list")
def list_(
    context: typer.Context,
    entity: Annotated[str, typer.Option(help="Of this entity (name or id), in place of you.")] = "",
) -> None:
    """List second factors, and how many recovery codes are left."""
    current = cli_context(context)
    place = api_path("mfa", "factors")
    if entity:
        place = api_path("mfa", "entities", find_entity(current, entity))
    found = current.client.call("GET", place)
    current.print_result(found["factors"], COLUMNS)
    print_note(f"recovery codes left: {found['recovery_codes']}")


@app.command("freehold mfa verify")
def verify(context: typer.Context) -> None:
    """Show a second factor for your token, as policies with mfa_present ask for."""
    current = cli_context(context)
    body = {"passcode": read_secret_line(FACTOR_CODE)}
    current.print_result(current.client.call("POST", api_path("mfa", "verify"), body))


@app.command("freehold mfa remove totp")
def remove(
    context: typer.Context,
    factor: Annotated[str, typer.Argument(help="Id of the factor, as `list` shows it.")],
) -> None:
    """Remove a second factor of yours, by a code of it or a recovery code."""
    current = cli_context(context)
    body = {"factor": factor, "passcode": read_secret_line(FACTOR_CODE)}
    current.client.call("POST", api_path("mfa", "factors", "remove"), body)
    print_note(f"second factor {factor} is removed")


@app.command("freehold mfa recovery-codes", name="recovery-codes")
def recovery_codes(context: typer.Context) -> None:
    """Make new recovery codes in the place of the others; they are shown once."""
    current = cli_context(context)
    body = {"passcode": read_secret_line(FACTOR_CODE)}
    made = current.client.call("POST", api_path("mfa", "recovery-codes"), body)
    _print_codes(current, made["recovery_codes"])


@app.command("freehold mfa generate ann")
def generate(
    context: typer.Context, entity: Annotated[str, typer.Argument(help="Name or id of the entity.")]
) -> None:
    """Give an entity the secret of an authenticator app, which counts at once."""
    current = cli_context(context)
    place = api_path("mfa", "entities", find_entity(current, entity), "totp")
    made = current.client.call("POST", place)
    current.print_result({name: made[name] for name in ("secret", "url")})


@app.command("freehold mfa reset ann", "freehold mfa reset ann --yes")
def reset(
    context: typer.Context,
    entity: Annotated[str, typer.Argument(help="Name or id of the entity.")],
    yes: Yes = False,
) -> None:
    """Remove all second factors of an entity, and end its lockout."""
    current = cli_context(context)
    found = find_entity(current, entity)
    confirm(f"Remove all second factors of {entity}?", yes=yes)
    current.client.call("DELETE", api_path("mfa", "entities", found))
    print_note(f"{entity} has no second factor any more")


@app.command(
    "freehold mfa enforce people --type userpass --type ldap",
    "freehold mfa enforce admins --group admins --method webauthn",
)
def enforce(
    context: typer.Context,
    name: Rule,
    type_: Annotated[
        Names, typer.Option("--type", help="Type of auth mounts, such as ldap; may be repeated.")
    ] = None,
    accessor: Annotated[Names, typer.Option(help="Accessor of an auth mount.")] = None,
    entity: Annotated[Names, typer.Option(help="Name or id of an entity.")] = None,
    group: Annotated[Names, typer.Option(help="Name or id of a group.")] = None,
    method: Annotated[
        Names, typer.Option(help="totp, webauthn or an id; either of the first two by default.")
    ] = None,
) -> None:
    """Have logins need a second factor: those of these auth mounts, entities or groups."""
    current = cli_context(context)
    given = {
        "types": type_,
        "accessors": accessor,
        "entities": [find_entity(current, one) for one in entity or ()],
        "groups": [find_group(current, one) for one in group or ()],
        "methods": method,
    }
    body = {key: value for key, value in given.items() if value}
    current.print_result(current.client.call("PUT", api_path("mfa", "enforcements", name), body))


@app.command("freehold mfa enforcements")
def enforcements(context: typer.Context) -> None:
    """List which logins need a second factor."""
    current = cli_context(context)
    found = current.client.call("GET", api_path("mfa", "enforcements"))
    current.print_result(found["enforcements"], RULES)


@app.command("freehold mfa unenforce people", "freehold mfa unenforce people --yes")
def unenforce(context: typer.Context, name: Rule, yes: Yes = False) -> None:
    """Delete an enforcement: its logins need no second factor any more."""
    confirm(f"Delete the enforcement {name}?", yes=yes)
    cli_context(context).client.call("DELETE", api_path("mfa", "enforcements", name))
    print_note(f"enforcement {name} is deleted")


def _print_codes(current: CliContext, codes: list[str]) -> None:
    if codes:
        print_note("recovery codes, each good once, in place of a factor you have lost:")
        current.print_result(codes)


def _qr_code(url: str) -> str:
    import io

    import segno

    out = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(out, compact=True, border=2)
    return "\n" + out.getvalue()
