"""`freehold secret …`: values, their versions and metadata."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, api_path, cli_context, confirm, fetch_pages, parse_pairs
from ui.cli.errors import CliError, Exit, exit_code_for
from ui.cli.input import read_value
from ui.cli.output import OutputFormat, encode_json, encode_yaml, print_note, print_text
from ui.cli.progress import progress
from ui.cli.times import FUTURE, future_time

app = CommandGroup("Store, read, version and roll back secrets.")
versions = CommandGroup("Versions of a secret.")
metadata_group = CommandGroup("Everything of a secret but its values.")
app.add_group(versions, "version")
app.add_group(metadata_group, "metadata")

BATCH_SIZE: Final = 200  # items a request, of the thousand that the agent takes: bodies stay small
_FULL: Final = "answer_full"  # an answer has a bound; such items are requested again

RequestBatch: TypeAlias = Callable[[list[str]], list[dict[str, Any]]]
Name = Annotated[
    str,
    typer.Argument(
        help="Name of the secret, such as secret/app/db.", autocompletion=completion.secret_names
    ),
]
Cas = Annotated[
    int | None, typer.Option(help="Check-and-set: only if this is the current version.")
]
FileOption = Annotated[
    Path | None, typer.Option("--file", "-f", help="Read the value from a file.", dir_okay=False)
]
LiteralValue = Annotated[
    str | None, typer.Option("--value", help="The value. Other users can see it in `ps`.")
]
Json = Annotated[bool, typer.Option("--json", help="The value is a JSON document.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.")]
Meta = Annotated[
    list[str] | None, typer.Option("--metadata", "-m", help="key=value; may be repeated.")
]
Versions = Annotated[
    list[int] | None, typer.Option("--version", help="A version; may be repeated.")
]
Status = Literal["", "active", "deleted", "destroyed", "empty"]


@app.command(
    "freehold secret put secret/app/db --file password.txt",
    "freehold secret put secret/app/config --json --file config.json --tag production",
    "freehold secret put secret/app/db --expires-at 90d < password.txt",
)
def put(
    context: typer.Context,
    name: Name,
    file: FileOption = None,
    value: LiteralValue = None,
    as_json: Json = False,
    cas: Cas = None,
    tag: Tags = None,
    metadata: Meta = None,
    expires_at: Annotated[str, typer.Option(help=f"Expiry: {FUTURE}.")] = "",
) -> None:
    """Write a value, from stdin by default. The secret is created if it does not exist."""
    current = cli_context(context)
    expiry = future_time(expires_at, "--expires-at")
    body = {"value": read_value(file, value, as_json=as_json)} | _description(tag, metadata)
    if expiry:
        body["expires_at"] = expiry
    if cas == 0:
        answer = current.client.call("POST", api_path("secrets"), body | {"name": name})
    else:
        answer = _upsert(current.client, name, body, cas)
    current.print_result(answer)


@app.command("""echo '{"port": 5433, "old": null}' | freehold secret patch secret/app/config""")
def patch(
    context: typer.Context,
    name: Name,
    file: FileOption = None,
    value: LiteralValue = None,
    cas: Cas = None,
) -> None:
    """Merge a JSON object into an object value, as a new version; null removes a key."""
    current = cli_context(context)
    change = read_value(file, value, as_json=True)
    path = api_path("secrets", name)
    current.print_result(current.client.merge_patch(path, change, query={"cas": cas}))


@app.command(
    "freehold secret get secret/app/db",
    "freehold secret get secret/app/db --raw",
    "freehold secret get secret/app/config --field port --version 3",
)
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
    query = {"version": version or None}
    answer = current.client.call("GET", api_path("secrets", name), query=query)
    if not (field or raw):
        current.print_result(answer)
        return
    value = _field(answer["value"], field) if field else answer["value"]
    if current.output_format is OutputFormat.YAML:
        print_text(encode_yaml(value).rstrip("\n"))
    elif isinstance(value, str) and current.output_format is OutputFormat.TABLE:
        print_text(value)
    else:
        print_text(encode_json(value))


@app.command("freehold secret consumers secret/app/db")
def consumers(context: typer.Context, name: Name) -> None:
    """Show who has fetched which version of a secret, and what connects with it."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("consumers", name)))


@app.command("freehold secret readers secret/app/db")
def readers(context: typer.Context, name: Name) -> None:
    """List who may read a secret, and by which rule."""
    current = cli_context(context)
    found = list(fetch_pages(current.client, api_path("readers", name), "readers"))
    current.print_result(found, ("kind", "name", "rule", "conditional"))


@app.command(
    "freehold secret list",
    "freehold secret list secret/app --tag production",
    "freehold secret list --expiring-before 30d -o json",
    name="list",
)
def list_(
    context: typer.Context,
    prefix: Annotated[
        str,
        typer.Argument(
            help="A folder; without it everything.", autocompletion=completion.secret_names
        ),
    ] = "",
    tag: Tags = None,
    metadata: Annotated[list[str] | None, typer.Option(help="key=value to match.")] = None,
    status: Annotated[Status, typer.Option(help="Only secrets in this state.")] = "",
    expiring_before: Annotated[str, typer.Option(help=f"{FUTURE[:1].upper()}{FUTURE[1:]}.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0 means all.")] = 0,
) -> None:
    """List the secrets that you may see."""
    current = cli_context(context)
    query: dict[str, Any] = {
        "prefix": prefix,
        "tags": ",".join(tag or []),
        "metadata": ",".join(f"{key}:{value}" for key, value in parse_pairs(metadata).items()),
        "status": status,
        "expiring_before": future_time(expiring_before, "--expiring-before"),
    }
    found = list(fetch_pages(current.client, api_path("secrets"), "secrets", query, most=limit))
    current.print_result(found, ("name", "version", "status", "tags", "updated_at", "expires_at"))


@versions.command("freehold secret version list secret/app/db", name="list")
def list_versions(context: typer.Context, name: Name) -> None:
    """List the versions of a secret, and who wrote each."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("versions", name)))


@app.command("freehold secret diff secret/app/db 3 5", "freehold secret diff secret/app/db 3")
def diff(
    context: typer.Context,
    name: Name,
    first: Annotated[int, typer.Argument(metavar="FROM", help="A version.")],
    second: Annotated[
        int, typer.Argument(metavar="TO", help="Another version; 0: the secret as it is now.")
    ] = 0,
) -> None:
    """Compare the metadata and tags of two versions."""
    current = cli_context(context)
    query = {"from": first, "to": second}
    answer = current.client.call("GET", api_path("diff", name), query=query)
    if current.output_format is not OutputFormat.TABLE:
        return current.print_result(answer)
    if not (rows := _changes(answer["changes"])):
        return print_note("metadata and tags are the same")
    return current.print_result(rows)


@app.command("freehold secret rollback secret/app/db 3")
def rollback(
    context: typer.Context,
    name: Name,
    version: Annotated[int, typer.Argument(help="The older version.")],
    cas: Cas = None,
) -> None:
    """Write the value of an older version again, as a new version."""
    current = cli_context(context)
    body = {"version": version, "cas": cas}
    current.print_result(current.client.call("POST", api_path("rollback", name), body))


@app.command(
    "freehold secret delete secret/app/db", "freehold secret delete secret/app/db --version 3"
)
def delete(context: typer.Context, name: Name, version: Versions = None) -> None:
    """Delete versions, the current one by default. `undelete` restores them."""
    _edit(context, "delete", name, version)


@app.command("freehold secret undelete secret/app/db --version 3")
def undelete(context: typer.Context, name: Name, version: Versions = None) -> None:
    """Restore deleted versions."""
    _edit(context, "undelete", name, version)


@app.command(
    "freehold secret destroy secret/app/db --version 3",
    "freehold secret destroy secret/app/db --all --yes",
)
def destroy(
    context: typer.Context,
    name: Name,
    version: Versions = None,
    whole: Annotated[
        bool, typer.Option("--all", help="All versions, and the metadata with them.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Erase versions for good. With --all nothing of the secret is left."""
    if bool(version) == whole:
        raise typer.BadParameter("give either --version or --all")
    current = cli_context(context)
    if whole:
        confirm(f"Erase {name} with all its versions for good?", yes=yes)
        current.client.call("DELETE", api_path("metadata", name))
        print_note(f"{name} is erased")
        return
    which = ", ".join(map(str, version or ()))
    confirm(f"Erase version {which} of {name} for good?", yes=yes)
    _edit(context, "destroy", name, version)


@metadata_group.command("freehold secret metadata get secret/app/db", name="get")
def get_metadata(context: typer.Context, name: Name) -> None:
    """Show everything of a secret but its values."""
    current = cli_context(context)
    answer = current.client.call("GET", api_path("metadata", name))
    if current.output_format is OutputFormat.TABLE:  # flat; `version list` has the versions
        answer = answer.pop("secret") | {key: answer[key] for key in answer if key != "versions"}
    current.print_result(answer)


@metadata_group.command(
    "freehold secret metadata update secret/app/db --max-versions 10 -m owner=payments",
    'freehold secret metadata update secret/app/db --expires-at ""',
    name="update",
)
def update_metadata(
    context: typer.Context,
    name: Name,
    metadata: Meta = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="A metadata key to remove; may be repeated.")
    ] = None,
    tag: Tags = None,
    max_versions: Annotated[int | None, typer.Option(help="Older versions are erased.")] = None,
    cas_required: Annotated[
        bool | None,
        typer.Option("--cas-required/--no-cas-required", help="Require --cas for each write."),
    ] = None,
    expires_at: Annotated[str | None, typer.Option(help=f"Expiry: {FUTURE}; empty: never.")] = None,
) -> None:
    """Change a secret without a new version. What is left out stays."""
    changes = _description(tag, metadata) | {
        key: value
        for key, value in {
            "max_versions": max_versions,
            "cas_required": cas_required,
            "expires_at": None if expires_at is None else future_time(expires_at, "--expires-at"),
        }.items()
        if value is not None
    }
    if drop:
        changes["metadata"] = changes.get("metadata", {}) | dict.fromkeys(drop)
    if not changes:
        raise typer.BadParameter("no change is given")
    current = cli_context(context)
    current.print_result(current.client.call("PATCH", api_path("metadata", name), changes))


@app.command("freehold secret export secret/app/db secret/app/key > secrets.json")
def export(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            help="Names of secrets, such as secret/app/db.", autocompletion=completion.secret_names
        ),
    ],
) -> None:
    """Read many secrets. Prints one JSON object, name to value, that `import` takes.

    Prints every secret that could be read. Each failure is a line on stderr; the exit code is that
    of the first.
    """
    current = cli_context(context)
    values: dict[str, Any] = {}
    failed: list[dict[str, Any]] = []

    def request(some: list[str]) -> list[dict[str, Any]]:
        answer = current.client.call("POST", api_path("batch/read"), {"names": some})
        results: list[dict[str, Any]] = answer["results"]
        return results

    wanted = list(dict.fromkeys(names))
    with progress("Reading secrets", len(wanted)) as advance:
        for item in _request_all(wanted, request):
            advance(1)
            if "error" in item:
                failed.append(item)
            else:
                values[item["name"]] = item["secret"]["value"]
    current.print_document(values)
    _report_failures(failed, len(values) + len(failed), "read")


@app.command(
    "freehold secret import secrets.json", "freehold secret import --create < secrets.json",
    name="import",
)  # fmt: skip
def import_(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Else stdin.", dir_okay=False)] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Write only secrets that do not exist.")
    ] = False,
) -> None:
    """Write many secrets: a JSON object, name to value, as `export` prints it.

    Each secret is written separately. Each failure is a line on stderr; the others are written.
    """
    values = read_value(file, None, as_json=True, option="FILE")
    if not isinstance(values, dict):
        raise CliError('a JSON object is expected, such as {"secret/app/db": "value"}', Exit.USAGE)
    current = cli_context(context)
    terms = {"cas": 0} if create else {}

    def request(some: list[str]) -> list[dict[str, Any]]:
        items = [{"name": name, "value": values[name], **terms} for name in some]
        answer = current.client.call("POST", api_path("batch/write"), {"secrets": items})
        results: list[dict[str, Any]] = answer["results"]
        return results

    failed: list[dict[str, Any]] = []
    with progress("Writing secrets", len(values)) as advance:
        for item in _request_all(list(values), request):
            advance(1)
            if "error" in item:
                failed.append(item)
    print_note(f"{len(values) - len(failed)} of {len(values)} written")
    _report_failures(failed, len(values), "written")


def _request_all(wanted: list[str], request: RequestBatch) -> Iterator[dict[str, Any]]:
    """The result of each, a batch at a time; what had no room in an answer is requested again."""
    while wanted:
        asked, wanted = wanted[:BATCH_SIZE], wanted[BATCH_SIZE:]
        results = request(asked)
        full = [item["name"] for item in results if item.get("error", {}).get("code") == _FULL]
        if len(full) == len(asked):
            raise CliError("the agent has room for none of these in a batch; take them one by one")
        wanted = full + wanted
        yield from (item for item in results if item["name"] not in full)


def _report_failures(failed: list[dict[str, Any]], count: int, done: str) -> None:
    """A line for each failure; raises `CliError` with the exit code of the first."""
    for item in failed:
        print_note(f"{item['name']}: {item['error']['message']}")
    if failed:
        raise CliError(f"{len(failed)} of {count} not {done}", exit_code_for(failed[0]["status"]))


def _upsert(client: Any, name: str, body: dict[str, Any], cas: int | None) -> Any:
    """Update, or create where nothing is; a race is decided by the server, not by us."""
    path = api_path("secrets", name)
    try:
        return client.call("PUT", path, body | {"cas": cas})
    except CliError as error:
        if error.exit_code is not Exit.NOT_FOUND or cas is not None:
            raise
    return client.call("POST", api_path("secrets"), body | {"name": name})


def _edit(context: typer.Context, verb: str, name: str, numbers: list[int] | None) -> None:
    current = cli_context(context)
    body = {"versions": numbers or []}
    current.print_result(current.client.call("POST", api_path(verb, name), body))


def _description(tags: list[str] | None, metadata: list[str] | None) -> dict[str, Any]:
    description: dict[str, Any] = {}
    if tags is not None:
        description["tags"] = tags
    if metadata is not None:
        description["metadata"] = parse_pairs(metadata)
    return description


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
