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
from ui.cli.times import PAST, past_instant

if TYPE_CHECKING:
    from vault.backup.format import Manifest
    from vault.backup.offline import Identity, RootKey, SealedVault
    from vault.config.settings import EncryptionSettings, Settings

app = CommandGroup("Make, verify and restore backups of an agent's data.")

_EXITS: Final = {
    "not_initialized": Exit.NOT_FOUND,
    "store_missing": Exit.NOT_FOUND,
    "backup_missing": Exit.NOT_FOUND,
    "root_key_wrong": Exit.DENIED,
    "backup_identity_required": Exit.DENIED,
    "store_not_empty": Exit.CONFLICT,
    "backup_exists": Exit.CONFLICT,
    "backup_secret_missing": Exit.NOT_FOUND,
    "backup_ambiguous": Exit.CONFLICT,
    "backup_later": Exit.CONFLICT,
    "backup_without_secrets": Exit.CONFLICT,
    "audit_log_refused": Exit.CONFLICT,
    "other_vault": Exit.CONFLICT,
    "verifier_invalid": Exit.USAGE,
    "backup_outdated": Exit.CONFLICT,
    "store_unavailable": Exit.UNREACHABLE,
    "store_locked": Exit.BUSY,
}
_HEX_SHARES: Final = (64, 66)  # characters

Folder = Annotated[Path, typer.Argument(help="The folder with the backups.", file_okay=False)]
BackupId = Annotated[str, typer.Argument(metavar="ID", help="The backup's id.")]
LatestId = Annotated[str, typer.Argument(metavar="ID", help="The backup's id, or latest.")]
PointInTime = Annotated[
    str,
    typer.Option(
        "--at", help=f"With latest: the newest backup that was made at this time or before; {PAST}."
    ),
]
VaultId = Annotated[
    str, typer.Option("--vault", help="With latest: of which vault, if the folder has several.")
]
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
            partial(_open_vault, key_file=key_file, encryption=settings.encryption),
            SystemWorld(),
            partial(progress, lines=True),
            base=base,
            recipients=recipient or (),
            include_secrets=settings.backup.include_secrets,
            compress=settings.backup.compression,
        )
    cli_context(context).print_result(_shown(manifest) | {"verifier": verifier})


@app.command("freehold backup list", "freehold backup list /backup", name="list")
def list_all(
    context: typer.Context, folder: OptionalFolder = None, destination: Place = ""
) -> None:
    """List the agent's backups, the newest first; the agent verifies their manifests.

    With FOLDER: those of a folder, the oldest first, as their manifests say, unverified.
    """
    from vault.backup.destinations.directory import LocalDirectory
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
    from vault.backup.destinations.directory import LocalDirectory
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
    from vault.backup.destinations.directory import LocalDirectory
    from vault.backup.offline import SealedVault
    from vault.backup.restore import read_backup_header, verify_backup, verify_outside

    folder, backup = _split(place)
    if folder is None:
        _refuse_without_folder(config=config, key_file=key_file, identity=identity)
        agent_backups.validate(cli_context(context), backup, destination, detach=detach)
        return
    _refuse_with_folder(destination=destination, detach=detach)
    source = LocalDirectory(folder)
    encryption = None if config is None else _settings(config).encryption
    with _failures():
        header = read_backup_header(source, backup)
        keys = _open_vault(
            SealedVault.of_backup(header), key_file=key_file, encryption=encryption
        ).keys
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
    "freehold backup restore /backup ID --config /etc/freehold/vault.yaml --reason 'disk failed'",
    "freehold backup restore /backup latest --at 2026-11-30T12:00:00Z --config vault.yaml "
    "--dry-run",
    "freehold backup restore /backup ID --config new.yaml --only secret/app/ --reason 'new site'",
)
def restore(
    context: typer.Context,
    folder: Folder,
    backup: LatestId,
    config: AgentConfig,
    reason: Annotated[
        str, typer.Option(help="Why; recorded in the audit log. Not needed with --dry-run.")
    ] = "",
    key_file: KeyFile = None,
    identity: IdentityFile = None,
    at: PointInTime = "",
    vault: VaultId = "",
    keep_tokens: Annotated[
        bool,
        typer.Option(
            "--keep-tokens",
            help="Restore tokens, too. One that was revoked after the backup is valid again, "
            "unless an audit log tells of it.",
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Of the secrets only this one, or those in this folder (ending with a slash); "
            "repeatable."
        ),
    ] = None,
    audit_log: Annotated[
        list[Path] | None,
        typer.Option(
            help="An audit log that survived, or a folder with such: what it says was revoked "
            "after the backup is revoked again. Repeat it for each node. Default: that of --config."
        ),
    ] = None,
    ignore_audit_logs: Annotated[
        bool, typer.Option("--ignore-audit-logs", help="Revoke nothing again.")
    ] = False,
    accept_log_faults: Annotated[
        bool,
        typer.Option(
            "--accept-log-faults",
            help="Go on with a log that is damaged, cut or incomplete: what its signatures cover "
            "counts.",
        ),
    ] = False,
    keep_erased: Annotated[
        bool,
        typer.Option(
            "--keep-erased", help="Restore secrets and versions that were erased after the backup."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Verify all, and say what would be written and what would change."
        ),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            help="With --dry-run: compare with the database of this configuration. Default: that "
            "of --config, if it holds the vault.",
            dir_okay=False,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, max=100_000, help="With --dry-run: differences that are named.")
    ] = 100,
) -> None:
    """Restore a backup into the empty database of a configuration: of any kind.

    Stop the agent first, and run this as the agent's user. The backup is verified before the first
    row is written. Until the restore is complete no agent starts on the database; a run that was
    interrupted goes on when the same command is run again.

    What the audit logs say was revoked, disabled, deleted or erased after the backup is so again;
    what they do not tell enough of is listed.
    """
    from ui.cli import backup_restore
    from vault.backup.destinations.directory import LocalDirectory
    from vault.backup.offline import SealedVault
    from vault.backup.restore import read_backup_header

    if not (reason or dry_run):
        raise typer.BadParameter("say why by --reason: the audit log will have it")
    settings = _settings(config)
    compared = None if against is None else _settings(against)
    source = LocalDirectory(folder)
    if settings.storage.file is not None and not dry_run:
        require_owner(settings.storage.file)
    again = "nothing was changed" if dry_run else "run the same command again: it goes on"
    with _failures(again):
        point = past_instant(at, "--at")
        chosen = backup_restore.choose(source, backup, vault=vault, at=point)
        header = read_backup_header(source, chosen.manifest.id)
        request = backup_restore.RestoreRequest(
            source,
            chosen,
            _open_vault(
                SealedVault.of_backup(header), key_file=key_file, encryption=settings.encryption
            ),
            _identity(identity),
            settings,
            at=point,
            keep_tokens=keep_tokens,
            only=tuple(only or ()),
            logs=audit_log or (),
            ignore_logs=ignore_audit_logs,
            accept_log_faults=accept_log_faults,
            keep_erased=keep_erased,
        )
        if dry_run:
            backup_restore.preview(cli_context(context), request, compared, limit)
            return
        result = backup_restore.restore(request, reason=reason)
    cli_context(context).print_result(result)
    backup_restore.warn_of_logs(result)
    print_note(f"Start the agent with {config}, and unseal it.")
    if not keep_tokens:
        print_note("Tokens were dropped: `freehold operator generate-root` makes a root token.")
    if chosen.manifest.excluded:
        print_note("The backup was made without secrets: there are none.")
    if not result["audit_logs"]:
        print_note("Revoke again what was revoked after the backup: users, API keys.")
    print_note("Do not start an agent on the former database again.")


@app.command(
    "freehold backup recover ID secret/app/db secret/app/certs/ --dry-run",
    "freehold backup recover /backup latest secret/app/db --config /etc/freehold/vault.yaml",
    "freehold backup recover /backup ID secret/app/ --key-file root.key --dry-run",
)
def recover(
    context: typer.Context,
    place: Annotated[
        list[str],
        typer.Argument(
            metavar="[FOLDER] ID NAME...",
            help="The backup's id, or latest; behind a folder with backups if the agent's own are "
            "not meant. Then secrets, and folders of secrets, which end with a slash.",
        ),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            help="With FOLDER: the agent's configuration file, for its key file.", dir_okay=False
        ),
    ] = None,
    key_file: KeyFile = None,
    identity: IdentityFile = None,
    at: PointInTime = "",
    vault: VaultId = "",
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Where there is a value, write the one of the backup on top."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")
    ] = False,
    destination: Place = "",
) -> None:
    """Put secrets of a backup back into a running agent, each as a new version.

    The secrets are written as anybody writes them, under the token's policies, and are in the audit
    log. A secret that has a value now is left as it is. Metadata and tags come back, too; versions
    before the backup's current one do not.

    The agent reads the backup at its destination. With FOLDER it is read here, and that takes the
    root key (the key file, or the shares). A backup with recipients takes an identity, and FOLDER.
    """
    folder, backup, names = _split_names(place)
    if folder is None:
        _refuse_without_folder(
            config=config, key_file=key_file, identity=identity, at=at, vault=vault
        )
        agent_backups.recover(
            cli_context(context), backup, names, destination, overwrite=overwrite, dry_run=dry_run
        )
        return
    _refuse_with_folder(destination=destination)
    from ui.cli import backup_restore
    from vault.backup.destinations.directory import LocalDirectory
    from vault.backup.offline import SealedVault
    from vault.backup.recover import read_backup_secrets
    from vault.backup.restore import read_backup_header

    source = LocalDirectory(folder)
    encryption = None if config is None else _settings(config).encryption
    with _failures("run the same command again: what has a value is left as it is"):
        chosen = backup_restore.choose(
            source, backup, vault=vault, at=past_instant(at, "--at")
        ).manifest
        header = read_backup_header(source, chosen.id)
        secrets = read_backup_secrets(
            source,
            chosen.id,
            _open_vault(
                SealedVault.of_backup(header), key_file=key_file, encryption=encryption
            ).keys,
            names,
            progress=partial(progress, lines=True),
            identity=_identity(identity),
            with_values=not dry_run,
        )
        backup_restore.recover(cli_context(context), secrets, overwrite=overwrite, dry_run=dry_run)


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


def _split_names(place: list[str]) -> tuple[Path | None, str, list[str]]:
    """Folder, backup and names of secrets. An id is no path, so a folder is told by being one."""
    first = Path(place[0])
    folder = first if os.sep in place[0] or first.is_dir() else None
    rest = place if folder is None else place[1:]
    if len(rest) < 2:  # noqa: PLR2004
        raise CliError("name the backup, and at least one secret or folder of it", Exit.USAGE)
    return folder, rest[0], rest[1:]


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


def _open_vault(
    vault: "SealedVault", *, key_file: Path | None, encryption: "EncryptionSettings | None"
) -> "RootKey":
    """By the key file, the key provider, or shares from stdin: the former two as configured.

    Raises `CliError` and as `SealedVault`.
    """
    from actors import SystemWorld
    from vault.app import make_former_providers, make_key_providers

    if vault.seal.is_wrapped:
        world = SystemWorld()
        providers = () if encryption is None else make_key_providers(encryption, world)
        former = () if encryption is None else make_former_providers(encryption, world)
        if not (providers or former):
            raise CliError(
                f"a key provider ({vault.seal.type}) wraps the root key, and recovery shares open "
                "nothing: give --config with the provider of this vault"
            )
        return vault.open_with_providers([*providers, *former], world)
    if key_file is None and encryption is not None:
        key_file = encryption.key_file
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
