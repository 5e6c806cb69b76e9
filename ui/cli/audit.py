"""`freehold audit …`: search the log, verify it, prove a record. `verify` needs no agent."""

import base64
import binascii
from pathlib import Path
from typing import Annotated, Any

import typer

from ui.cli.errors import CliError, Exit
from ui.cli.session import session

app = typer.Typer(help="Look at the audit log and prove that it is whole.", no_args_is_help=True)


@app.command()
def verify(
    context: typer.Context,
    log: Annotated[Path, typer.Option(help="The active log file, its segments beside it.")],
    key: Annotated[
        str, typer.Option(help="The agent's public key in base64, from an earlier `audit status`.")
    ] = "",
) -> None:
    """Check every record, segment and signature. Exit 1 and the first bad record if one is bad.

    Without --key the log is held against the key that it names itself: whoever can write the whole
    folder could have made both. Keep the key elsewhere.
    """
    from vault.audit.fault import BadLogError
    from vault.audit.keys import VerifyKeys
    from vault.audit.verify import verify as verify_log
    from vault.crypto.digest import sha256
    from vault.crypto.note import is_signed

    try:
        verdict = verify_log(log, VerifyKeys(sha256, is_signed), _key(key))
    except BadLogError as error:
        raise CliError(f"the log is not whole: {error}") from None
    except OSError as error:
        raise CliError(f"cannot read {error.filename or log}: {error.strerror}") from None
    session(context).show(
        {
            "size": verdict.size,
            "root": verdict.root,
            "public_key": base64.b64encode(verdict.public).decode(),
        }
    )


@app.command()
def status(context: typer.Context) -> None:
    """Show how many records there are and how each sink does."""
    current = session(context)
    current.show(current.client.call("GET", "/api/v1/audit/status"))


@app.command()
def query(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="RFC 3339 time.")] = "",
    until: Annotated[str, typer.Option(help="RFC 3339 time.")] = "",
    actor: Annotated[str, typer.Option(help="Id of who did it.")] = "",
    operation: Annotated[str, typer.Option(help="Such as secret.read.")] = "",
    path: Annotated[str, typer.Option(help="Beginning of the path.")] = "",
    result: Annotated[str, typer.Option(help="ok, denied or failed.")] = "",
    limit: int = 100,
) -> None:
    """Search the log, newest first."""
    current = session(context)
    asked: dict[str, Any] = {
        "since": since,
        "until": until,
        "actor_id": actor,
        "operation": operation,
        "path_prefix": path,
        "result": result,
        "limit": limit,
    }
    current.show(current.client.call("GET", "/api/v1/audit/events", query=asked)["events"])


@app.command()
def prove(context: typer.Context, seq: int) -> None:
    """Prove that a record is in the log, for somebody who has only the signed checkpoint."""
    current = session(context)
    current.show(current.client.call("GET", f"/api/v1/audit/proofs/{seq}"))


def _key(text: str) -> bytes | None:
    if not text:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise CliError("--key is not base64", Exit.ERROR) from None
