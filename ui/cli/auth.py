"""`freehold auth …`: login methods, and who one is."""

from typing import Annotated, Any

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, api_path, cli_context, confirm
from ui.cli.output import print_note

app = CommandGroup("Login methods, and who you are.")

Path = Annotated[str, typer.Argument(help="Where it is mounted, such as approle or corp/ldap.")]
Ttl = Annotated[str | None, typer.Option(help="How long tokens of its logins live, such as 8h.")]
MaxTtl = Annotated[str | None, typer.Option(help="How long they live at most, renewed or not.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]
Visibility = Annotated[
    str | None, typer.Option(help="unauth: its path is shown before login; hidden: it is not.")
]
TokenType = Annotated[
    str | None, typer.Option(help="default-service, default-batch, service or batch.")
]


@app.command("freehold auth list", name="list")
def list_(context: typer.Context) -> None:
    """List the auth mounts."""
    current = cli_context(context)
    columns = ("path", "type", "description", "default_lease_ttl", "max_lease_ttl")
    current.print_result(current.client.call("GET", api_path("auth", "mounts"))["mounts"], columns)


@app.command("freehold auth enable approle", "freehold auth enable userpass --path staff")
def enable(
    context: typer.Context,
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="The method, such as approle.")],
    path: Annotated[str, typer.Option(help="Where; empty: at the method's name.")] = "",
    description: Description = None,
    default_lease_ttl: Ttl = None,
    max_lease_ttl: MaxTtl = None,
) -> None:
    """Enable a login method."""
    current = cli_context(context)
    settings = {
        "description": description,
        "default_lease_ttl": default_lease_ttl,
        "max_lease_ttl": max_lease_ttl,
    }
    place = api_path("auth", "mounts", path or type_)
    current.print_result(current.client.call("POST", place, {"type": type_, **_given(settings)}))


@app.command("freehold auth tune approle --max-lease-ttl 24h")
def tune(
    context: typer.Context,
    path: Path,
    description: Description = None,
    default_lease_ttl: Ttl = None,
    max_lease_ttl: MaxTtl = None,
    token_type: TokenType = None,
    listing_visibility: Visibility = None,
) -> None:
    """Change settings of an auth mount: those that are named."""
    current = cli_context(context)
    settings = {
        "description": description,
        "default_lease_ttl": default_lease_ttl,
        "max_lease_ttl": max_lease_ttl,
        "token_type": token_type,
        "listing_visibility": listing_visibility,
    }
    place = api_path("auth", "mounts", path)
    current.print_result(current.client.call("PATCH", place, _given(settings)))


@app.command("freehold auth move approle machines")
def move(
    context: typer.Context,
    path: Path,
    target: Annotated[str, typer.Argument(help="Where it is to be.")],
) -> None:
    """Move an auth mount; its entries and tokens stay with it."""
    current = cli_context(context)
    body = {"source": path, "target": target}
    current.print_result(current.client.call("POST", api_path("auth", "moves"), body))


@app.command("freehold auth disable approle", "freehold auth disable approle --yes")
def disable(context: typer.Context, path: Path, yes: Yes = False) -> None:
    """Disable an auth mount: what it keeps is deleted, and tokens of its logins end."""
    confirm(f"Disable the auth mount {path}, and end all tokens of its logins?", yes=yes)
    cli_context(context).client.call("DELETE", api_path("auth", "mounts", path))
    print_note(f"auth mount {path} is disabled")


@app.command("freehold auth whoami")
def whoami(context: typer.Context) -> None:
    """Show who you are, by which method, with which policies, until when; where the token is."""
    current = cli_context(context)
    told = current.client.call("GET", api_path("auth", "whoami"))
    current.print_result({**told, "kept": current.client.kept})


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}
