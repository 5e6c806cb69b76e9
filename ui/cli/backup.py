"""`freehold backup …`: make, verify and restore backups of an agent's data.

With a folder the commands need no agent; without one they ask it (`agent_backups`).
"""

import binascii
import os
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ui.cli import agent_backups
from ui.cli.backup_prove import add_commands
from ui.cli.command_group import CommandGroup
from ui.cli.context import cli_context
from ui.cli.errors import CliError, Exit
from ui.cli.input import read_secret_line
from ui.cli.output import OutputFormat, print_note
from ui.cli.process import load_or_exit
from ui.cli.progress import progress
from ui.cli.storage import require_owner

if TYPE_CHECKING:
    from vault.backup.format import Manifest
    from vault.backup.offline import Identity, RootKey, SealedVault
    from vault.config.settings import Settings

app = CommandGroup("Make, verify and restore backups of an agent's data.")

_EXITS: Final = {
    "not_initialized": Exit.NOT_FOUND,
    "store_missing": Exit.NOT_FOUND,
    "backup_missing": Exit.NOT_FOUND,
    "root_key_wrong": Exit.DENIED,
    "backup_identity_required": Exit.DENIED,
    "store_not_empty": Exit.CONFLICT,
    "backup_exists": Exit.CONFLICT,
    "verifier_invalid": Exit.USAGE,
    "backup_outdated": Exit.CONFLICT,
    "store_unavailable": Exit.UNREACHABLE,
    "store_locked": Exit.BUSY,
}
_HEX_SHARES: Final = (64, 66)  # characters

Folder = Annotated[Path, typer.Argument(help="The folder with the backups.", file_okay=False)]
BackupId = Annotated[str, typer.Argument(metavar="ID", help="The backup's id.")]
OptionalFolder = Annotated[
    Path | None,
    typer.Argument(
        help="A folder with backups, without an agent. Default: the agent's own destinations.",
        file_okay=False,
    ),
]
FolderAndId = Annotated[
    list[str],
    typer.Argument(
        metavar="[FOLDER] ID",
        help="The backup's id, behind a folder with backups if no agent is to be asked.",
    ),
]
Place = Annotated[str, typer.Option(help="Of the agent, by its name. Default: all of them.")]
AgentConfig = Annotated[
    Path, typer.Option("--config", help="The agent's configuration file.", dir_okay=False)
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        help="The key file with the root key. Default: that of --config; without one the shares "
        "are asked for.",
        dir_okay=False,
    ),
]
IdentityFile = Annotated[
    Path | None,
    typer.Option("--identity", help="File of `backup keygen`, for a backup with recipients."),
]


@app.command(
    "freehold backup create",
    "freehold backup create --destination local --full --detach",
    "freehold backup create /backup --config /etc/freehold/vault.yaml",
    "freehold backup create /backup --config /etc/freehold/vault.yaml --base ID",
)
def create(
    context: typer.Context,
    folder: OptionalFolder = None,
    config: Annotated[
        Path | None,
        typer.Option(help="With FOLDER: the agent's configuration file.", dir_okay=False),
    ] = None,
    base: Annotated[
        str, typer.Option(help="With FOLDER: back up only what was changed since this backup.")
    ] = "",
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            help="With FOLDER: only the holder of its identity can open the backup; repeatable."
        ),
    ] = None,
    key_file: KeyFile = None,
    destination: Annotated[
        list[str] | None,
        typer.Option(help="A destination of the agent, by its name; repeatable. Default: all."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="All data, not what was changed since the last backup.")
    ] = False,
    detach: agent_backups.Detach = False,
) -> None:
    """Back up all data of an agent: encrypted, signed, and of one moment.

    The agent makes it at its destinations, while it serves; the command shows how far it is.

    With FOLDER it is made without the agent: run it as the agent's user. With SQLite, stop the
    agent first; a database server is backed up while agents use it. With --base the backup needs
    that one, and all that it builds on, to be restored; it has all data if the change feed does not
    reach back so far.

    Keep the root key (the key file, or the shares) apart from the backups: without it nobody
    restores them.
    """
    from actors.world import SystemWorld
    from vault.app import make_backend
    from vault.backup.offline import back_up_stopped

    if folder is None:
        _refuse_without_folder(config=config, base=base, recipient=recipient, key_file=key_file)
        agent_backups.create(cli_context(context), destination or [], full=full, detach=detach)
        return
    _refuse_with_folder(destination=destination, full=full, detach=detach)
    if config is None:
        raise typer.BadParameter("with FOLDER: --config names the agent's configuration file")
    settings = _settings(config)
    _require_database(settings)
    with _failures("create it again: what was written is no backup"):
        manifest, verifier = back_up_stopped(
            make_backend(settings.storage),
            folder,
            partial(_open_vault, key_file=key_file or settings.encryption.key_file),
            SystemWorld(),
            partial(progress, lines=True),
            base=base,
            recipients=recipient or (),
        )
    cli_context(context).print_result(_shown(manifest) | {"verifier": verifier})


@app.command("freehold backup list", "freehold backup list /backup", name="list")
def list_all(
    context: typer.Context, folder: OptionalFolder = None, destination: Place = ""
) -> None:
    """List the agent's backups, the newest first; the agent verifies their manifests.

    With FOLDER: those of a folder, the oldest first, as their manifests say, unverified.
    """
    from vault.backup.destination import LocalDirectory
    from vault.backup.restore import list_backups

    if folder is None:
        agent_backups.list_all(cli_context(context), destination)
        return
    _refuse_with_folder(destination=destination)
    with _failures():
        found, faults = list_backups(LocalDirectory(folder))
    cli_context(context).print_result([
        {
            "id": each.id,
            "created": each.created,
            "kind": _kind(each),
            "base": "" if each.base is None else each.base.id,
            "commits": each.commits,
            "bytes": each.size,
        }
        for each in found
    ])  # fmt: skip
    for fault in faults:
        print_note(f"Warning: {fault.message}")


@app.command("freehold backup show ID", "freehold backup show /backup ID")
def show(context: typer.Context, place: FolderAndId, destination: Place = "") -> None:
    """Show what the manifest of a backup says; with FOLDER unverified, and without a key."""
    from vault.backup.destination import LocalDirectory
    from vault.backup.format import read_unverified_manifest
    from vault.backup.restore import read_backup_header, read_manifest

    folder, backup = _split(place)
    if folder is None:
        agent_backups.show(cli_context(context), backup, destination)
        return
    _refuse_with_folder(destination=destination)
    source = LocalDirectory(folder)
    with _failures():
        manifest = read_unverified_manifest(read_manifest(source, backup))
        header = read_backup_header(source, backup)
    current = cli_context(context)
    shown = _shown(manifest) | {
        "vault": manifest.vault,
        "organization": manifest.org,
        "schema": manifest.schema,
        "recipients": [wrap.recipient for wrap in header.keys if wrap.recipient],
    }
    tables = [
        {"table": each.table, "rows": each.rows, "removed": each.removed}
        for each in manifest.tables
    ]
    if current.output_format is OutputFormat.TABLE:
        current.print_result(tables)
        current.print_result(shown)
    else:
        current.print_result(shown | {"tables": tables})


@app.command(
    "freehold backup validate ID",
    "freehold backup validate /backup ID --config /etc/freehold/vault.yaml",
    "freehold backup validate /backup ID --identity /media/key/backup-identity",
)
def validate(
    context: typer.Context,
    place: FolderAndId,
    config: Annotated[
        Path | None,
        typer.Option(
            help="With FOLDER: the agent's configuration file, for its key file.", dir_okay=False
        ),
    ] = None,
    key_file: KeyFile = None,
    identity: IdentityFile = None,
    destination: Place = "",
    detach: agent_backups.Detach = False,
) -> None:
    """Read a backup and all that it builds on, and verify every byte and row of it.

    The agent does it. With FOLDER it is done here, and takes the root key: the key file, or the
    shares. A backup with recipients takes an identity, too; without one the signatures and chunks
    are verified, and not the rows.
    """
    from vault.backup.destination import LocalDirectory
    from vault.backup.offline import SealedVault
    from vault.backup.restore import read_backup_header, verify_backup, verify_outside

    folder, backup = _split(place)
    if folder is None:
        _refuse_without_folder(config=config, key_file=key_file, identity=identity)
        agent_backups.validate(cli_context(context), backup, destination, detach=detach)
        return
    _refuse_with_folder(destination=destination, detach=detach)
    source = LocalDirectory(folder)
    if key_file is None and config is not None:
        key_file = _settings(config).encryption.key_file
    with _failures():
        header = read_backup_header(source, backup)
        keys = _open_vault(SealedVault.of_backup(header), key_file=key_file).keys
        opens = identity is not None or not any(wrap.recipient for wrap in header.keys)
        shown: dict[str, Any]
        if opens:
            verified = verify_backup(
                source,
                backup,
                keys,
                identity=_identity(identity),
                progress=partial(progress, lines=True),
            )
            shown = {"rows": verified.rows, "root": verified.root}
            chain = verified.manifests
        else:
            chain = verify_outside(source, backup, keys)
            shown = {}
            print_note("Warning: the rows are not verified: that takes --identity")
    result = {"id": backup, "valid": True, "rows_verified": opens, **shown}
    cli_context(context).print_result(result | {"backups": [each.id for each in chain]})


@app.command(
    "freehold backup restore /backup ID --config /etc/freehold/vault.yaml --reason 'disk failed'"
)
def restore(
    context: typer.Context,
    folder: Folder,
    backup: BackupId,
    config: AgentConfig,
    reason: Annotated[str, typer.Option(help="Why; recorded in the audit log.")],
    key_file: KeyFile = None,
    identity: IdentityFile = None,
    keep_tokens: Annotated[
        bool,
        typer.Option(
            "--keep-tokens",
            help="Restore tokens, too. One that was revoked after the backup is valid again.",
        ),
    ] = False,
) -> None:
    """Restore a backup into the empty database of a configuration: of any kind.

    Stop the agent first, and run this as the agent's user. The backup is verified before the first
    row is written. Until the restore is complete no agent starts on the database; a run that was
    interrupted goes on when the same command is run again. API keys and users are those of the
    backup: revoke again what was revoked since.
    """
    from actors.world import SystemWorld
    from vault.app import make_backend
    from vault.backup.destination import LocalDirectory
    from vault.backup.offline import SealedVault, read_known_state
    from vault.backup.restore import read_backup_header, restore_backup

    settings = _settings(config)
    if settings.storage.file is not None:
        require_owner(settings.storage.file)
    source = LocalDirectory(folder)
    with _failures("run the same command again: it goes on where it was"):
        header = read_backup_header(source, backup)
        opened = _open_vault(
            SealedVault.of_backup(header), key_file=key_file or settings.encryption.key_file
        )
        result = restore_backup(
            source,
            backup,
            make_backend(settings.storage),
            opened.keys,
            root_key=opened.root_key,
            now=SystemWorld().now(),
            progress=partial(progress, lines=True),
            known=read_known_state(settings.anchor_file, settings.audit_log, opened.keys),
            identity=_identity(identity),
            keep_tokens=keep_tokens,
            reason=reason,
        )
    cli_context(context).print_result({
        "backup": result.backup,
        "rows": result.rows,
        "root": result.root,
        "commits": result.commits,
        "epoch": result.epoch,
        "tokens_dropped": result.tokens_dropped,
    })  # fmt: skip
    print_note(f"Start the agent with {config}, and unseal it.")
    if not keep_tokens:
        print_note("Tokens were dropped: `freehold operator generate-root` makes a root token.")
    print_note("Revoke again what was revoked after the backup: users, API keys.")
    print_note("Do not start an agent on the former database again.")


@app.command("freehold backup keygen /media/key/backup-identity")
def keygen(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where the identity is written.")],
) -> None:
    """Make an identity for backups that only its holder can open; prints its recipient.

    Keep the file offline. A backup whose identity is lost is lost.
    """
    from vault.backup.offline import make_identity

    text, recipient = make_identity()
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as made:
            os.fchmod(descriptor, 0o600)
            made.write(f"{text}\n")
            made.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise CliError(f"cannot write {file}: {error.strerror}") from None
    cli_context(context).print_result({"recipient": recipient, "file": str(file)})


agent_backups.add_commands(app)


def _split(place: list[str]) -> tuple[Path | None, str]:
    """The folder, if one is given, and the id."""
    if len(place) > 2:  # noqa: PLR2004  # both
        raise typer.BadParameter("give the backup's id, or a folder and the id")
    return (Path(place[0]) if len(place) > 1 else None), place[-1]


def _refuse_without_folder(**options: object) -> None:
    """Raise for what only a backup without an agent takes."""
    for name in (name for name, value in options.items() if value):
        raise typer.BadParameter(f"--{name.replace('_', '-')} goes with FOLDER, without an agent")


def _refuse_with_folder(**options: object) -> None:
    """Raise for what only an agent takes."""
    for name in (name for name, value in options.items() if value):
        raise typer.BadParameter(f"--{name} is for an agent: leave FOLDER out")


@contextmanager
def _failures(interrupted: str = "nothing was changed") -> Iterator[None]:
    """Failures of the work as `CliError`."""
    from vault.errors import VaultError

    try:
        yield
    except KeyboardInterrupt:
        raise CliError(f"interrupted; {interrupted}", Exit.INTERRUPTED) from None
    except VaultError as error:
        raise CliError(error.message, _EXITS.get(error.code, Exit.ERROR)) from None
    except OSError as error:
        raise CliError(f"{error.filename}: {error.strerror}") from None


def _settings(config: Path) -> "Settings":
    from vault.config.load import load_settings

    return load_or_exit(partial(load_settings, config))


def _require_database(settings: "Settings") -> None:
    """Refuse a file as an agent's start does, and one that is not there. Raises `CliError`."""
    from vault.seal.startup_checks import require_private_database

    file = settings.storage.file
    if file is None:
        return
    if not file.exists():
        raise CliError(f"there is no file {file}", Exit.NOT_FOUND)
    require_owner(file)
    with _failures():
        require_private_database(file)


def _open_vault(vault: "SealedVault", *, key_file: Path | None) -> "RootKey":
    """By the key file, or by shares from stdin. Raises `CliError` and as `SealedVault`."""
    if key_file is not None:
        return vault.open_with_file(key_file)
    return vault.open_with_shares(_read_share)


def _read_share(there: int, needed: int) -> bytes:
    text = read_secret_line(f"Share {there + 1} of {needed}")
    try:
        if len(text) in _HEX_SHARES:
            return bytes.fromhex(text)
        return b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise CliError("a share is base64 or hexadecimal", Exit.USAGE) from None


def _identity(file: Path | None) -> "Identity | None":
    from vault.backup.offline import parse_identity

    if file is None:
        return None
    try:
        return parse_identity(file.read_text(encoding="ascii"))
    except UnicodeDecodeError:
        raise CliError(f"{file} is no identity of `freehold backup keygen`", Exit.USAGE) from None


def _kind(manifest: "Manifest") -> str:
    return "full" if manifest.base is None else "incremental"


def _shown(manifest: "Manifest") -> dict[str, Any]:
    return {
        "id": manifest.id,
        "created": manifest.created,
        "kind": _kind(manifest),
        "base": "" if manifest.base is None else manifest.base.id,
        "commits": manifest.commits,
        "epoch": manifest.epoch,
        "rows": manifest.records,
        "bytes": manifest.size,
        "row_root": manifest.row_root,
        "chunk_root": manifest.chunk_root,
    }


add_commands(app, _failures, _settings, _open_vault)
