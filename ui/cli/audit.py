"""`freehold audit …`: search the log, verify it, prove a record. `verify` needs no agent."""

import base64
import binascii
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import typer

from ui.cli.agent_files import Config, anchor_path, database_path, default_paths, server_storage
from ui.cli.command_group import CommandGroup
from ui.cli.context import api_path, cli_context, fetch_pages, without_empty
from ui.cli.errors import CliError
from ui.cli.input import read_value
from ui.cli.output import OutputFormat, escape_json, print_note, print_text
from ui.cli.progress import counted
from ui.cli.times import PAST, past_time

if TYPE_CHECKING:
    from vault.audit.verify import LogVerdict
    from vault.config.settings import StorageSettings
    from vault.seal.anchor.witness import LogWitness

W = TypeVar("W")

app = CommandGroup("Search the audit log and prove that it is whole.")
keys = CommandGroup("The public key that signs the audit log.")
app.add_group(keys, "key")

QUERIED: Final = ("seq", "time", "actor_name", "operation", "phase", "path", "result", "rule")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
Result = Literal["", "ok", "denied", "failed"]
Log = Annotated[Path, typer.Option(help="The active log file, its segments beside it.")]


@app.command(
    "freehold audit verify --log /var/lib/freehold/audit.log",
    "freehold audit verify --log audit.log --key KEY --config /etc/freehold/vault.yaml",
)
def verify(
    context: typer.Context,
    log: Log,
    key: Annotated[
        str, typer.Option(help="The agent's public key in base64, from an earlier `audit key get`.")
    ] = "",
    anchor: Annotated[
        Path | None, typer.Option(help="The agent's anchor, else the one beside the log.")
    ] = None,
    config: Config = None,
) -> None:
    """Check every record, segment and signature. Exit code 1 names the first bad record.

    Without --key the log is checked against the public key that it names itself. Whoever can write
    the whole folder could have forged both, so keep the key elsewhere. The anchor and the database
    (those of --config, or vault.anchor and vault.db beside the log) show whether the log was
    truncated together with its head file. No agent is needed.
    """
    near_anchor, near_database = default_paths(log)
    server = server_storage(config)
    witness = _newest_witness(
        anchor_path(config, anchor) or near_anchor,
        None if server else database_path(config) or near_database,
        server,
    )
    verdict = _verified(log, _key(key) if key else None, witness)
    if witness is None:
        print_note(
            "freehold: no anchor and no database to compare the log with: an older copy of all its "
            "files would pass; name them by --config"
        )
    public = base64.b64encode(verdict.public).decode()
    cli_context(context).print_result(
        {"size": verdict.size, "root": verdict.root, "public_key": public}
    )


@keys.command("freehold audit key get --log /var/lib/freehold/audit.log", name="get")
def get_key(context: typer.Context, log: Log) -> None:
    """Check the log and print the public key that signed it. Keep the key elsewhere."""
    current = cli_context(context)
    key = base64.b64encode(_verified(log, None).public).decode()
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
) -> None:
    """Search the log, newest first."""
    current = cli_context(context)
    asked: dict[str, Any] = without_empty(
        since=past_time(since, "--since"),
        until=past_time(until, "--until"),
        **{"actor_id" if _UUID.fullmatch(actor) else "actor": actor},
        operation=operation,
        path=path,
        result=result,
        request_id=request,
    )
    found = list(fetch_pages(current.client, api_path("audit/events"), "events", asked, most=limit))
    if actor and not found:
        print_note(f"no matching record of {actor}, by name or by id")
    current.print_result(found, QUERIED)


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


def _newest_witness(
    anchor: Path | None, database: Path | None, server: "StorageSettings | None"
) -> "LogWitness | None":
    """Who has seen the most of the log: asked before the log is read, which only grows."""
    from vault.seal.anchor.witness import read_anchor_witness, read_database_witness

    found = [
        _query_log(read_anchor_witness, anchor, anchor),
        _query_log(read_database_witness, database, database),
    ]
    if server is not None:
        from vault.app import read_server_witness  # slow to load

        found.append(_query_log(read_server_witness, server, server.server))
    return max(filter(None, found), key=lambda witness: witness.size, default=None)


def _query_log(
    ask: Callable[[W], "LogWitness | None"], asked: W | None, place: object
) -> "LogWitness | None":
    from vault.errors import VaultError

    try:
        return None if asked is None else ask(asked)
    except (ValueError, VaultError) as error:
        raise CliError(f"{place}: {error}") from None
    except OSError as error:
        raise CliError(f"cannot read {place}: {error.strerror}") from None


def _verified(log: Path, key: bytes | None, witness: "LogWitness | None" = None) -> "LogVerdict":
    from vault.audit.keys import VerifyKeys
    from vault.audit.layout import LogLayout
    from vault.audit.verify import BadLogError, LogVerifier
    from vault.crypto.digest import sha256
    from vault.crypto.note_signing import is_note_signature_valid

    try:
        note = witness.note if witness else ""
        verifier = LogVerifier(
            LogLayout(log), VerifyKeys(sha256, is_note_signature_valid), key, note
        )
        for _ in counted(verifier.records(), "Verifying records"):
            pass
        return verifier.verdict()
    except BadLogError as error:
        seen_by = f" (witness: {witness.place})" if witness else ""
        layout = LogLayout(log)
        if not layout.head_file.exists() and not layout.segment_files():
            raise CliError(f"there is no audit log: {log}{seen_by}") from None
        raise CliError(f"the log is not whole: {error}{seen_by}") from None
    except OSError as error:
        raise CliError(f"cannot read {error.filename or log}: {error.strerror}") from None


def _key(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise typer.BadParameter("--key must be base64, as `audit key get` prints it") from None
