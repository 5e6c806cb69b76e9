"""`freehold secret …`: values, their versions and metadata."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ui.cli.api_path import api_path
from ui.cli.arguments import parse_pairs
from ui.cli.context import cli_context, with_output_option
from ui.cli.errors import CliError, Exit
from ui.cli.input import read_value
from ui.cli.output import OutputFormat, encode_json, print_note, print_text
from ui.cli.pagination import fetch_pages
from ui.cli.secret_bulk import export, import_

app = typer.Typer(help="Store, read, version and roll back secrets.", no_args_is_help=True)
app.command()(export)
app.command("import")(import_)

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
@with_output_option
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
    current = cli_context(context)
    written = {"value": read_value(file, value, as_json=as_json)}
    body = written | _described(tag, metadata) | ({"expires_at": expires_at} if expires_at else {})
    if cas == 0:
        answer = current.client.call("POST", api_path("secrets"), body | {"name": name})
    else:
        answer = _upsert(current.client, name, body, cas)
    current.print_result(answer)


@app.command()
@with_output_option
def patch(
    context: typer.Context,
    name: Name,
    file: FileOption = None,
    value: Literal = None,
    cas: Cas = None,
) -> None:
    """Merge a JSON object into an object value, as a new version; null takes a key away."""
    current = cli_context(context)
    change = read_value(file, value, as_json=True)
    current.print_result(
        current.client.merge_patch(api_path("secrets", name), change, query={"cas": cas})
    )


@app.command()
@with_output_option
def get(
    context: typer.Context,
    name: Name,
    version: Annotated[int, typer.Option(help="0 is the current one.")] = 0,
    field: Annotated[str, typer.Option(help="One key of an object value.")] = "",
    raw: Annotated[
        bool, typer.Option("--raw", help="The value alone: text as it is, else JSON.")
    ] = False,
) -> None:
    """Read a value."""
    current = cli_context(context)
    answer = current.client.call(
        "GET", api_path("secrets", name), query={"version": version or None}
    )
    if field or raw:
        value = _field(answer["value"], field) if field else answer["value"]
        as_text = isinstance(value, str) and current.output_format is OutputFormat.TABLE
        print_text(value if as_text else encode_json(value))
    else:
        current.print_result(answer)


@app.command("list")
@with_output_option
def list_(
    context: typer.Context,
    prefix: Annotated[str, typer.Argument(help="A folder; empty means everything.")] = "",
    tag: Tags = None,
    metadata: Annotated[list[str] | None, typer.Option(help="key=value to match.")] = None,
    status: Annotated[str, typer.Option(help="active, deleted, destroyed or empty.")] = "",
    expiring_before: Annotated[str, typer.Option(help="RFC 3339 time.")] = "",
    limit: Annotated[int, typer.Option(help="At most this many; 0 means all.")] = 0,
) -> None:
    """List the secrets that you may see."""
    current = cli_context(context)
    query: dict[str, Any] = {
        "prefix": prefix,
        "tags": ",".join(tag or []),
        "metadata": ",".join(f"{key}:{value}" for key, value in parse_pairs(metadata).items()),
        "status": status,
        "expiring_before": expiring_before,
    }
    found = list(fetch_pages(current.client, api_path("secrets"), "secrets", query, most=limit))
    current.print_result(found, ("name", "version", "status", "tags", "updated_at", "expires_at"))


@app.command()
@with_output_option
def versions(context: typer.Context, name: Name) -> None:
    """List the versions, with who wrote each."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("versions", name)))


@app.command()
@with_output_option
def diff(
    context: typer.Context,
    name: Name,
    first: Annotated[int, typer.Argument(metavar="FROM", help="A version.")],
    second: Annotated[
        int, typer.Argument(metavar="TO", help="Another one; 0: as the secret is now.")
    ] = 0,
) -> None:
    """Show which metadata and tags came, went or changed between two versions."""
    current = cli_context(context)
    query = {"from": first, "to": second}
    told = current.client.call("GET", api_path("diff", name), query=query)
    if current.output_format is OutputFormat.JSON:
        return current.print_result(told)
    if not (rows := _changes(told["changes"])):
        return print_note("metadata and tags are the same")
    return current.print_result(rows)


@app.command()
@with_output_option
def rollback(context: typer.Context, name: Name, version: int, cas: Cas = None) -> None:
    """Write the value of an older version again, as a new version."""
    current = cli_context(context)
    body = {"version": version, "cas": cas}
    current.print_result(current.client.call("POST", api_path("rollback", name), body))


@app.command()
@with_output_option
def delete(context: typer.Context, name: Name, version: Which = None) -> None:
    """Delete versions (the current one by default); `undelete` undoes it."""
    _edit(context, "delete", name, version)


@app.command()
@with_output_option
def undelete(context: typer.Context, name: Name, version: Which = None) -> None:
    """Bring deleted versions back."""
    _edit(context, "undelete", name, version)


@app.command()
@with_output_option
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
    cli_context(context).client.call("DELETE", api_path("metadata", name))


@app.command()
@with_output_option
def metadata(
    context: typer.Context,
    name: Name,
    metadata: Meta = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="A metadata key to take away; may be repeated.")
    ] = None,
    tag: Tags = None,
    max_versions: Annotated[int | None, typer.Option(help="Older ones are erased.")] = None,
    cas_required: Annotated[bool | None, typer.Option("--cas-required/--no-cas-required")] = None,
    expires_at: Annotated[str | None, typer.Option(help="RFC 3339 time; empty: never.")] = None,
) -> None:
    """Show everything but the values; with options, change it."""
    current = cli_context(context)
    changes = _described(tag, metadata) | {
        key: value
        for key, value in {
            "max_versions": max_versions,
            "cas_required": cas_required,
            "expires_at": expires_at,
        }.items()
        if value is not None
    }
    if drop:
        changes["metadata"] = changes.get("metadata", {}) | dict.fromkeys(drop)
    path = api_path("metadata", name)
    if changes:
        current.print_result(current.client.call("PATCH", path, changes))
        return
    told = current.client.call("GET", path)
    if current.output_format is OutputFormat.TABLE:  # flat, and `versions` shows those
        told = told.pop("secret") | {key: told[key] for key in told if key != "versions"}
    current.print_result(told)


def _upsert(client: Any, name: str, body: dict[str, Any], cas: int | None) -> Any:
    """Update, or create where nothing is; a race is decided by the server, not by us."""
    path = api_path("secrets", name)
    try:
        return client.call("PUT", path, body | {"cas": cas})
    except CliError as error:
        if error.exit_code is not Exit.NOT_FOUND or cas is not None:
            raise
    return client.call("POST", api_path("secrets"), body | {"name": name})


def _edit(context: typer.Context, verb: str, name: str, versions: list[int] | None) -> None:
    current = cli_context(context)
    body = {"versions": versions or []}
    current.print_result(current.client.call("POST", api_path(verb, name), body))


def _described(tags: list[str] | None, metadata: list[str] | None) -> dict[str, Any]:
    described: dict[str, Any] = {}
    if tags is not None:
        described["tags"] = tags
    if metadata is not None:
        described["metadata"] = parse_pairs(metadata)
    return described


def _changes(of: dict[str, Any]) -> list[dict[str, str]]:
    """A row for each key and tag that is not the same."""
    came = [("metadata", key, "", value) for key, value in of["metadata_added"].items()]
    gone = [("metadata", key, value, "") for key, value in of["metadata_removed"].items()]
    other = [
        ("metadata", key, value["from"], value["to"])
        for key, value in of["metadata_changed"].items()
    ]
    tags = [("tag", tag, "", tag) for tag in of["tags_added"]]
    tags += [("tag", tag, tag, "") for tag in of["tags_removed"]]
    rows = sorted([*came, *gone, *other]) + sorted(tags)
    return [dict(zip(("what", "key", "from", "to"), row, strict=True)) for row in rows]


def _field(value: Any, field: str) -> Any:
    if not isinstance(value, dict) or field not in value:
        raise CliError(f"the value has no field {field}", Exit.NOT_FOUND)
    return value[field]
