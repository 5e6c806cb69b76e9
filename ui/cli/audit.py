"""`freehold audit …`: search the log, verify it, prove a record. `verify` needs no agent."""

import base64
import binascii
import json
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from protocols.instant import parse_rfc3339
from ui.cli.agent_files import Config
from ui.cli.audit_logs import LogWitnesses, VerifiedLog, find_logs, verify_log
from ui.cli.command_group import CommandGroup
from ui.cli.context import api_path, cli_context, fetch_pages, is_id, without_empty
from ui.cli.errors import CliError
from ui.cli.input import read_value
from ui.cli.output import OutputFormat, escape_json, print_note, print_text
from ui.cli.times import PAST, past_time

app = CommandGroup("Search the audit log and prove that it is whole.")
keys = CommandGroup("The public key that signs the audit log.")
app.add_group(keys, "key")

QUERIED: Final = ("seq", "time", "actor_name", "operation", "phase", "path", "result", "rule")
Result = Literal["", "ok", "denied", "failed"]
Log = Annotated[Path, typer.Option(help="The active log file, its segments beside it.")]


@app.command(
    "freehold audit verify --log /var/lib/freehold/audit.log",
    "freehold audit verify --log audit.log --key KEY --config /etc/freehold/vault.yaml",
    "freehold audit verify --log node-a --log node-b --complete --config vault.yaml",
)
def verify(
    context: typer.Context,
    log: Annotated[
        list[Path],
        typer.Option(
            help="The active log file of a node, its segments beside it, or a folder with such "
            "files. May be repeated."
        ),
    ],
    key: Annotated[
        list[str],
        typer.Option(
            help="A node's public key in base64, from an earlier `audit key get`. May be repeated."
        ),
    ] = [],  # noqa: B006  # typer copies it
    anchor: Annotated[
        Path | None, typer.Option(help="The agent's anchor, else the one beside the log.")
    ] = None,
    config: Config = None,
    complete: Annotated[
        bool,
        typer.Option("--complete", help="Fail if the log of a node in the database is missing."),
    ] = False,
) -> None:
    """Check every record, segment and signature. Exit code 1 names the first bad record.

    Each node has a log of its own. Several are checked together against what the database has
    recorded of each.

    Without --key a log is checked against the public key that it names itself. Whoever can write
    the whole folder could have forged both, so keep the keys elsewhere. The anchor and the database
    (those of --config, or vault.anchor and vault.db beside the log) show whether a log was
    truncated together with its head file. No agent is needed.
    """
    logs = [file for path in log for file in find_logs(path)]
    if anchor is not None and len(logs) > 1:
        raise typer.BadParameter("--anchor is of one log; those of several are found beside them")
    public = [_key(text) for text in key]
    witnesses = LogWitnesses(logs, anchor, config)
    found, damaged = list[VerifiedLog](), list[str]()
    for file in logs:
        try:
            found.append(verify_log(file, public, witnesses))
        except CliError as error:
            if len(logs) == 1:
                raise
            damaged.append(f"{file}: {error}")
    if not witnesses.all:
        print_note(
            "freehold: no anchor and no database to compare the log with: an older copy of all its "
            "files would pass; name them by --config"
        )
    rows = [verified.describe() for verified in found]
    cli_context(context).print_result(rows[0] if len(logs) == 1 else rows)
    if damaged:
        raise CliError("; ".join(damaged))
    missing = witnesses.missing({verified.verdict.origin for verified in found})
    for one in missing:
        print_note(
            f"freehold: node {one.node} ({one.machine or 'name not known'}): its log is missing "
            f"here; {one.place} has seen {one.size} records of it"
        )
    if complete and missing:
        verb = "is" if len(missing) == 1 else "are"
        raise CliError(f"{len(missing)} of {len(missing) + len(found)} logs {verb} missing")


@keys.command("freehold audit key get --log /var/lib/freehold/audit.log", name="get")
def get_key(context: typer.Context, log: Log) -> None:
    """Check the log and print the public key that signed it. Keep the key elsewhere."""
    current = cli_context(context)
    key = base64.b64encode(verify_log(log, [], None).verdict.public).decode()
    current.print_result(
        key if current.output_format is OutputFormat.TABLE else {"public_key": key}
    )


@app.command("freehold audit status")
def status(context: typer.Context) -> None:
    """Show the number of records and the state of each sink."""
    current = cli_context(context)
    found = current.client.call("GET", api_path("audit/status"))
    if current.output_format is not OutputFormat.TABLE:
        current.print_result(found)
        return
    current.print_result({"size": found["size"], "trouble": found["trouble"] or "none"})
    current.print_result(found["sinks"])


@app.command(
    "freehold audit query --since 24h --result denied",
    "freehold audit query --actor ann --path secret/app -o json",
    "freehold audit query --since 1h --agent https://web-2:8200 --agent https://web-3:8200",
)
def query(
    context: typer.Context,
    since: Annotated[str, typer.Option(help=f"From when on: {PAST}.")] = "",
    until: Annotated[str, typer.Option(help="Until when, in the same forms.")] = "",
    actor: Annotated[str, typer.Option(help="Name or id of who did it.")] = "",
    operation: Annotated[str, typer.Option(help="Such as secret.read.")] = "",
    path: Annotated[str, typer.Option(help="Beginning of the path.")] = "",
    result: Annotated[Result, typer.Option(help="Only records with this result.")] = "",
    request: Annotated[str, typer.Option(help="Id of a request.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0 means all.")] = 100,
    agent: Annotated[
        list[str],
        typer.Option(help="Address of another agent on the same database, too. May be repeated."),
    ] = [],  # noqa: B006  # typer copies it
) -> None:
    """Search the log, newest first.

    An agent finds what it did itself: each machine has a log of its own. With --agent several are
    searched, and their events are merged by time.
    """
    current = cli_context(context)
    clients = [current.client, *(current.client_of(address) for address in agent)]
    asked: dict[str, Any] = without_empty(
        since=past_time(since, "--since"),
        until=past_time(until, "--until"),
        **{"actor_id" if is_id(actor) else "actor": actor},
        operation=operation,
        path=path,
        result=result,
        request_id=request,
    )
    pages = [
        fetch_pages(client, api_path("audit/events"), "events", asked, most=limit)
        for client in clients
    ]
    merged = merge(*pages, key=_event_time, reverse=True)
    found = list(islice(merged, limit or None))
    if actor and not found:
        print_note(f"no matching record of {actor}, by name or by id")
    current.print_result(found, ("node", *QUERIED) if agent else QUERIED)


@app.command("freehold audit prove 1042 > proof.json")
def prove(
    context: typer.Context, seq: Annotated[int, typer.Argument(help="Number of the record.")]
) -> None:
    """Prove that a record is in the log. The output is for `audit check`, on any machine."""
    current = cli_context(context)
    current.print_document(current.client.call("GET", api_path("audit/proofs", str(seq))))


@app.command("freehold audit check --key KEY --file proof.json")
def check(
    context: typer.Context,
    key: Annotated[str, typer.Option(help="The agent's public key in base64.")],
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Proof; else stdin.")] = None,
) -> None:
    """Check a proof of `audit prove` and print its record. Neither agent nor log is needed."""
    import msgspec

    from vault.audit.keys import VerifyKeys
    from vault.audit.proof import Proof, verify_proof
    from vault.crypto.digest import sha256
    from vault.crypto.note_signing import is_note_signature_valid

    try:
        proof = msgspec.convert(read_value(file, None, as_json=True), Proof)
        verify_proof(proof, VerifyKeys(sha256, is_note_signature_valid), _key(key))
    except ValueError as error:
        raise CliError(f"this does not prove the record: {error}") from None
    current = cli_context(context)
    if current.output_format is OutputFormat.YAML:
        current.print_document(json.loads(proof.record))
    else:
        print_text(escape_json(proof.record.rstrip("\n")))


@app.command("freehold audit hash --file password.txt", name="hash")
def hash_(
    context: typer.Context,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Else stdin.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The value is JSON.")] = False,
) -> None:
    """Print the hash that stands for a value in the log, to search for it."""
    current = cli_context(context)
    body = {"value": read_value(file, None, as_json=as_json)}
    answer = current.client.call("POST", api_path("audit/hash"), body)
    current.print_result(answer["hash"] if current.output_format is OutputFormat.TABLE else answer)


def _event_time(event: dict[str, Any]) -> int:
    return parse_rfc3339(event["time"], "time")


def _key(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise typer.BadParameter("--key must be base64, as `audit key get` prints it") from None
