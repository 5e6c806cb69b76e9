"""`freehold secret …`: values, their versions and metadata."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ui.cli.client import path_of
from ui.cli.session import session
from ui.cli.source import read_value

app = typer.Typer(help="Store, read, version and roll back secrets.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the secret, such as secret/app/db.")]
Cas = Annotated[int | None, typer.Option(help="Only if this version is current.")]
FileOption = Annotated[
    Path | None, typer.Option("--file", "-f", help="Read the value from a file.", dir_okay=False)
]
Literal = Annotated[
    str | None, typer.Option("--value", help="The value itself: other users can see it in `ps`.")
]
Json = Annotated[bool, typer.Option("--json", help="The value is a JSON document.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.")]
Meta = Annotated[
    list[str] | None, typer.Option("--metadata", "-m", help="key=value; may be repeated.")
]
Which = Annotated[list[int] | None, typer.Option("--version", help="A version; may be repeated.")]


@app.command()
def put(
    context: typer.Context,
    name: Name,
    file: FileOption = None,
    value: Literal = None,
    as_json: Json = False,
    cas: Cas = None,
    tag: Tags = None,
    metadata: Meta = None,
    expires_at: Annotated[str, typer.Option(help="RFC 3339 time.")] = "",
) -> None:
    """Write a value (from stdin by default); creates the secret if it is not there."""
    current = session(context)
    written = {"value": read_value(file, value, as_json=as_json)}
    body = written | _described(tag, metadata) | ({"expires_at": expires_at} if expires_at else {})
    if cas == 0:
        answer = current.client.call("POST", "/api/v1/secrets", body | {"name": name})
    else:
        answer = _upsert(current.client, name, body, cas)
    current.show(answer)


@app.command()
def get(
    context: typer.Context,
    name: Name,
    version: Annotated[int, typer.Option(help="0 is the current one.")] = 0,
    field: Annotated[str, typer.Option(help="One key of an object value.")] = "",
    raw: Annotated[bool, typer.Option("--raw", help="The value alone.")] = False,
) -> None:
    """Read a value."""
    current = session(context)
    answer = current.client.call(
        "GET", path_of("/api/v1/secrets/", name), query={"version": version or None}
    )
    if field:
        answer = _field(answer["value"], field)
    elif raw:
        answer = answer["value"]
    current.show(answer)


@app.command("list")
def list_(
    context: typer.Context,
    prefix: Annotated[str, typer.Argument(help="A folder; empty means everything.")] = "",
    tag: Tags = None,
    metadata: Annotated[list[str] | None, typer.Option(help="key=value to match.")] = None,
    status: str = "",
    expiring_before: Annotated[str, typer.Option(help="RFC 3339 time.")] = "",
    limit: Annotated[int, typer.Option(help="At most this many; 0 means all.")] = 0,
) -> None:
    """List the secrets that you may see."""
    current = session(context)
    query: dict[str, Any] = {
        "prefix": prefix,
        "tags": ",".join(tag or []),
        "metadata": ",".join(item.replace("=", ":", 1) for item in metadata or []),
        "status": status,
        "expiring_before": expiring_before,
    }
    found: list[dict[str, Any]] = []
    while True:
        page = current.client.call("GET", "/api/v1/secrets", query=query)
        found += page["secrets"]
        if not page["cursor"] or (limit and len(found) >= limit):
            break
        query["cursor"] = page["cursor"]
    current.show(found[:limit] if limit else found)


@app.command()
def versions(context: typer.Context, name: Name) -> None:
    """List the versions, with who wrote each."""
    current = session(context)
    current.show(current.client.call("GET", path_of("/api/v1/versions/", name)))


@app.command()
def rollback(context: typer.Context, name: Name, version: int, cas: Cas = None) -> None:
    """Write the value of an older version again, as a new version."""
    current = session(context)
    body = {"version": version, "cas": cas}
    current.show(current.client.call("POST", path_of("/api/v1/rollback/", name), body))


@app.command()
def delete(context: typer.Context, name: Name, version: Which = None) -> None:
    """Delete versions (the current one by default); `undelete` undoes it."""
    _edit(context, "delete", name, version)


@app.command()
def undelete(context: typer.Context, name: Name, version: Which = None) -> None:
    """Bring deleted versions back."""
    _edit(context, "undelete", name, version)


@app.command()
def destroy(context: typer.Context, name: Name, version: Which = None) -> None:
    """Erase versions for good."""
    _edit(context, "destroy", name, version)


@app.command()
def purge(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a secret with all its versions and metadata."""
    if not yes:
        typer.confirm(f"Erase {name} with all its versions for good?", abort=True, err=True)
    session(context).client.call("DELETE", path_of("/api/v1/metadata/", name))


@app.command()
def metadata(
    context: typer.Context,
    name: Name,
    metadata: Meta = None,
    tag: Tags = None,
    max_versions: int | None = None,
    cas_required: Annotated[bool | None, typer.Option("--cas-required/--no-cas-required")] = None,
    expires_at: Annotated[str | None, typer.Option(help="RFC 3339 time; empty: never.")] = None,
) -> None:
    """Show everything but the values; with options, change it."""
    current = session(context)
    changes = _described(tag, metadata) | {
        key: value
        for key, value in {
            "max_versions": max_versions,
            "cas_required": cas_required,
            "expires_at": expires_at,
        }.items()
        if value is not None
    }
    path = path_of("/api/v1/metadata/", name)
    current.show(current.client.call("PATCH" if changes else "GET", path, changes or None))


def _upsert(client: Any, name: str, body: dict[str, Any], cas: int | None) -> Any:
    """Update, or create where nothing is; a race is decided by the server, not by us."""
    from ui.cli.errors import CliError, Exit

    path = path_of("/api/v1/secrets/", name)
    try:
        return client.call("PUT", path, body | {"cas": cas})
    except CliError as error:
        if error.exit_code is not Exit.NOT_FOUND or cas is not None:
            raise
    return client.call("POST", "/api/v1/secrets", body | {"name": name})


def _edit(context: typer.Context, verb: str, name: str, versions: list[int] | None) -> None:
    current = session(context)
    body = {"versions": versions or []}
    current.show(current.client.call("POST", path_of(f"/api/v1/{verb}/", name), body))


def _described(tags: list[str] | None, metadata: list[str] | None) -> dict[str, Any]:
    described: dict[str, Any] = {}
    if tags is not None:
        described["tags"] = tags
    if metadata is not None:
        pairs = [item.partition("=") for item in metadata]
        if any(not sign for _, sign, _ in pairs):
            raise typer.BadParameter("metadata must look like key=value")
        described["metadata"] = {key: value for key, _, value in pairs}
    return described


def _field(value: Any, field: str) -> Any:
    if not isinstance(value, dict) or field not in value:
        raise typer.BadParameter(f"the value has no field {field}")
    return value[field]
