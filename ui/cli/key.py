"""`freehold key …`: API keys of users."""

from typing import Annotated, Any

import typer

from ui.cli.output import tell
from ui.cli.session import session

app = typer.Typer(help="API keys.", no_args_is_help=True)


@app.command()
def create(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="Name of the user whose key it is.")],
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    expires_at: Annotated[str, typer.Option(help="RFC 3339 time.")] = "",
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Cut it down: capability,capability:path; may be repeated."),
    ] = None,
) -> None:
    """Make a key. It is shown once."""
    current = session(context)
    body: dict[str, Any] = {"user": user, "name": name}
    body |= {"expires_at": expires_at} if expires_at else {}
    body |= {"permissions": [_permission(text) for text in allow]} if allow else {}
    current.show(current.client.call("POST", "/api/v1/keys", body))
    tell("Keep the key now; it cannot be shown again.")


@app.command("list")
def list_(context: typer.Context, user: str) -> None:
    """List a user's keys, with when each was last used."""
    current = session(context)
    current.show(current.client.call("GET", "/api/v1/keys", query={"user": user})["keys"])


@app.command()
def revoke(context: typer.Context, key_id: str) -> None:
    """Revoke a key: its next request is refused."""
    session(context).client.call("DELETE", f"/api/v1/keys/{key_id}")


def _permission(text: str) -> dict[str, list[str]]:
    capabilities, colon, path = text.partition(":")
    if not colon:
        raise typer.BadParameter("must look like read,list:secret/app/*")
    return {"capabilities": capabilities.split(","), "paths": [path]}
