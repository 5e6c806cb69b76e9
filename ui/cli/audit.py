"""`freehold audit …`: search the log, verify it, prove a record. `verify` needs no agent."""

import base64
import binascii
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ui.cli.agent_files import Config, anchor_path, database_path, default_paths
from ui.cli.api_path import api_path
from ui.cli.arguments import without_empty
from ui.cli.context import cli_context, with_output_option
from ui.cli.errors import CliError
from ui.cli.input import read_value
from ui.cli.output import OutputFormat, escape_json, print_json, print_note, print_text
from ui.cli.pagination import fetch_pages

if TYPE_CHECKING:
    from vault.anchor.witness import Witness
    from vault.audit.verify import Verdict

app = typer.Typer(help="Look at the audit log and prove that it is whole.", no_args_is_help=True)

QUERIED: Final = ("seq", "time", "actor_name", "operation", "phase", "path", "result", "rule")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
Log = Annotated[Path, typer.Option(help="The active log file, its segments beside it.")]


@app.command()
@with_output_option
def verify(
    context: typer.Context,
    log: Log,
    key: Annotated[
        str, typer.Option(help="The agent's public key in base64, from an earlier `audit key`.")
    ] = "",
    anchor: Annotated[
        Path | None, typer.Option(help="The agent's anchor, else the one beside the log.")
    ] = None,
    config: Config = None,
) -> None:
    """Check every record, segment and signature. Exit 1 and the first bad record if one is bad.

    Without --key the log is held against the key that it names itself: whoever can write the whole
    folder could have made both. Keep the key elsewhere. The anchor and the database (as --config
    says, or vault.anchor and vault.db beside the log) tell when the log was cut and its head file
    set back with it.
    """
    near_anchor, near_database = default_paths(log)
    witness = _newest_anchor(
        anchor_path(config, anchor) or near_anchor, database_path(config) or near_database
    )
    verdict = _verified(log, _key(key) if key else None, witness)
    if witness is None:
        print_note(
            "freehold: no anchor and no database to hold the log against: an older copy of all its "
            "files would pass; name them by --config"
        )
    public = base64.b64encode(verdict.public).decode()
    cli_context(context).print_result(
        {"size": verdict.size, "root": verdict.root, "public_key": public}
    )


@app.command("key")
def key_(log: Log) -> None:
    """Check the log and show the public key that signed it, to be kept elsewhere."""
    typer.echo(base64.b64encode(_verified(log, None).public).decode())


@app.command()
@with_output_option
def status(context: typer.Context) -> None:
    """Show how many records there are and how each sink does."""
    current = cli_context(context)
    found = current.client.call("GET", api_path("audit/status"))
    if current.output_format is OutputFormat.JSON:
        current.print_result(found)
        return
    current.print_result({"size": found["size"], "trouble": found["trouble"] or "none"})
    current.print_result(found["sinks"])


@app.command()
@with_output_option
def query(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="RFC 3339 time.")] = "",
    until: Annotated[str, typer.Option(help="RFC 3339 time.")] = "",
    actor: Annotated[str, typer.Option(help="Name or id of who did it.")] = "",
    operation: Annotated[str, typer.Option(help="Such as secret.read.")] = "",
    path: Annotated[str, typer.Option(help="Beginning of the path.")] = "",
    result: Annotated[str, typer.Option(help="ok, denied or failed.")] = "",
    request: Annotated[str, typer.Option(help="Id of a request.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0 means all.")] = 100,
) -> None:
    """Search the log, newest first."""
    current = cli_context(context)
    asked: dict[str, Any] = without_empty(
        since=since,
        until=until,
        **{"actor_id" if _UUID.fullmatch(actor) else "actor": actor},
        operation=operation,
        path=path,
        result=result,
        request_id=request,
    )
    found = list(fetch_pages(current.client, api_path("audit/events"), "events", asked, most=limit))
    if actor and not found:
        print_note(f"no record that fits is of {actor}, by name or by id")
    current.print_result(found, QUERIED)


@app.command()
def prove(
    context: typer.Context, seq: Annotated[int, typer.Argument(help="Number of the record.")]
) -> None:
    """Prove that a record is in the log, as JSON for `audit check` on any machine."""
    print_json(cli_context(context).client.call("GET", api_path("audit/proofs", str(seq))))


@app.command()
def check(
    key: Annotated[str, typer.Option(help="The agent's public key in base64.")],
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Proof; else stdin.")] = None,
) -> None:
    """Check a proof of `audit prove` and show its record. Needs neither agent nor log."""
    import msgspec

    from vault.audit.keys import VerifyKeys
    from vault.audit.proof import Proof
    from vault.audit.proof import check as check_proof
    from vault.crypto.digest import sha256
    from vault.crypto.note import is_signed

    try:
        proof = msgspec.convert(read_value(file, None, as_json=True), Proof)
        check_proof(proof, VerifyKeys(sha256, is_signed), _key(key))
    except ValueError as error:
        raise CliError(f"this does not prove the record: {error}") from None
    print_text(escape_json(proof.record.rstrip("\n")))


@app.command("hash")
def hash_(
    context: typer.Context,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Else stdin.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The value is JSON.")] = False,
) -> None:
    """Show what a value reads as in the log, to search for it."""
    body = {"value": read_value(file, None, as_json=as_json)}
    print_text(cli_context(context).client.call("POST", api_path("audit/hash"), body)["hash"])


def _newest_anchor(anchor: Path | None, database: Path | None) -> "Witness | None":
    """Who has seen the most of the log: asked before the log is read, which only grows."""
    from vault.anchor.witness import in_anchor, in_database

    found = [_query_log(in_anchor, anchor), _query_log(in_database, database)]
    return max(filter(None, found), key=lambda witness: witness.size, default=None)


def _query_log(ask: Callable[[Path], "Witness | None"], file: Path | None) -> "Witness | None":
    from vault.errors import VaultError

    try:
        return None if file is None else ask(file)
    except (ValueError, VaultError) as error:
        raise CliError(f"{file}: {error}") from None
    except OSError as error:
        raise CliError(f"cannot read {file}: {error.strerror}") from None


def _verified(log: Path, key: bytes | None, witness: "Witness | None" = None) -> "Verdict":
    from vault.audit.fault import BadLogError
    from vault.audit.keys import VerifyKeys
    from vault.audit.layout import Layout
    from vault.audit.verify import verify as verify_log
    from vault.crypto.digest import sha256
    from vault.crypto.note import is_signed

    try:
        note = witness.note if witness else ""
        return verify_log(log, VerifyKeys(sha256, is_signed), key, note)
    except BadLogError as error:
        seen_by = f" (witness: {witness.file})" if witness else ""
        layout = Layout(log)
        if not layout.head.exists() and not layout.files():
            raise CliError(f"there is no audit log: {log}{seen_by}") from None
        raise CliError(f"the log is not whole: {error}{seen_by}") from None
    except OSError as error:
        raise CliError(f"cannot read {error.filename or log}: {error.strerror}") from None


def _key(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise typer.BadParameter("--key must be base64, as `audit key` shows it") from None
