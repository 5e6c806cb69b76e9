"""`freehold audit …`: search the log, verify it, prove a record. `verify` needs no agent."""

import base64
import binascii
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ui.cli.anchor import Config, anchor_of, beside, database_of
from ui.cli.errors import CliError
from ui.cli.output import Format, document, json_visible, plain, tell
from ui.cli.paging import every
from ui.cli.pairs import given
from ui.cli.route import route
from ui.cli.session import session, shown
from ui.cli.source import read_value

if TYPE_CHECKING:
    from vault.audit.verify import LogVerdict
    from vault.seal.anchor.witness import LogWitness

app = typer.Typer(help="Look at the audit log and prove that it is whole.", no_args_is_help=True)

QUERIED: Final = ("seq", "time", "actor_name", "operation", "phase", "path", "result", "rule")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
Log = Annotated[Path, typer.Option(help="The active log file, its segments beside it.")]


@app.command()
@shown
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
    near_anchor, near_database = beside(log)
    witness = _witness(
        anchor_of(config, anchor) or near_anchor, database_of(config) or near_database
    )
    verdict = _verified(log, _key(key) if key else None, witness)
    if witness is None:
        tell(
            "freehold: no anchor and no database to hold the log against: an older copy of all its "
            "files would pass; name them by --config"
        )
    public = base64.b64encode(verdict.public).decode()
    session(context).show({"size": verdict.size, "root": verdict.root, "public_key": public})


@app.command("key")
def key_(log: Log) -> None:
    """Check the log and show the public key that signed it, to be kept elsewhere."""
    typer.echo(base64.b64encode(_verified(log, None).public).decode())


@app.command()
@shown
def status(context: typer.Context) -> None:
    """Show how many records there are and how each sink does."""
    current = session(context)
    found = current.client.call("GET", route("audit/status"))
    if current.form is Format.JSON:
        current.show(found)
        return
    current.show({"size": found["size"], "trouble": found["trouble"] or "none"})
    current.show(found["sinks"])


@app.command()
@shown
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
    current = session(context)
    asked: dict[str, Any] = given(
        since=since,
        until=until,
        **{"actor_id" if _UUID.fullmatch(actor) else "actor": actor},
        operation=operation,
        path=path,
        result=result,
        request_id=request,
    )
    found = list(every(current.client, route("audit/events"), "events", asked, most=limit))
    if actor and not found:
        tell(f"no record that fits is of {actor}, by name or by id")
    current.show(found, QUERIED)


@app.command()
def prove(
    context: typer.Context, seq: Annotated[int, typer.Argument(help="Number of the record.")]
) -> None:
    """Prove that a record is in the log, as JSON for `audit check` on any machine."""
    document(session(context).client.call("GET", route("audit/proofs", str(seq))))


@app.command()
def check(
    key: Annotated[str, typer.Option(help="The agent's public key in base64.")],
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Proof; else stdin.")] = None,
) -> None:
    """Check a proof of `audit prove` and show its record. Needs neither agent nor log."""
    import msgspec

    from vault.audit.keys import VerifyKeys
    from vault.audit.proof import Proof
    from vault.audit.proof import verify_proof as check_proof
    from vault.crypto.digest import sha256
    from vault.crypto.note_signing import is_note_signature_valid

    try:
        proof = msgspec.convert(read_value(file, None, as_json=True), Proof)
        check_proof(proof, VerifyKeys(sha256, is_note_signature_valid), _key(key))
    except ValueError as error:
        raise CliError(f"this does not prove the record: {error}") from None
    plain(json_visible(proof.record.rstrip("\n")))


@app.command("hash")
def hash_(
    context: typer.Context,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Else stdin.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The value is JSON.")] = False,
) -> None:
    """Show what a value reads as in the log, to search for it."""
    body = {"value": read_value(file, None, as_json=as_json)}
    plain(session(context).client.call("POST", route("audit/hash"), body)["hash"])


def _witness(anchor: Path | None, database: Path | None) -> "LogWitness | None":
    """Who has seen the most of the log: asked before the log is read, which only grows."""
    from vault.seal.anchor.witness import read_anchor_witness, read_database_witness

    found = [_asked(read_anchor_witness, anchor), _asked(read_database_witness, database)]
    return max(filter(None, found), key=lambda witness: witness.size, default=None)


def _asked(ask: Callable[[Path], "LogWitness | None"], file: Path | None) -> "LogWitness | None":
    from vault.errors import VaultError

    try:
        return None if file is None else ask(file)
    except (ValueError, VaultError) as error:
        raise CliError(f"{file}: {error}") from None
    except OSError as error:
        raise CliError(f"cannot read {file}: {error.strerror}") from None


def _verified(log: Path, key: bytes | None, witness: "LogWitness | None" = None) -> "LogVerdict":
    from vault.audit.errors import BadLogError
    from vault.audit.keys import VerifyKeys
    from vault.audit.layout import LogLayout
    from vault.audit.verify import verify_log as verify_log
    from vault.crypto.digest import sha256
    from vault.crypto.note_signing import is_note_signature_valid

    try:
        note = witness.note if witness else ""
        return verify_log(log, VerifyKeys(sha256, is_note_signature_valid), key, note)
    except BadLogError as error:
        seen_by = f" (witness: {witness.file})" if witness else ""
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
        raise typer.BadParameter("--key must be base64, as `audit key` shows it") from None
