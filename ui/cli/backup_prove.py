"""`freehold backup prove` and `certificates`: restore tests, and what they have proven."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import cli_context
from ui.cli.errors import CliError, Exit
from ui.cli.output import print_note
from ui.cli.progress import progress

if TYPE_CHECKING:
    from vault.backup.certificate import SignedCertificate
    from vault.backup.destinations.interface import Destination
    from vault.backup.offline import RootKey, SealedVault
    from vault.config.settings import EncryptionSettings, Settings

Folder = Annotated[Path, typer.Argument(help="The folder with the backups.", file_okay=False)]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="The agent's configuration, for its key file.", dir_okay=False),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        help="The key file with the root key. Default: that of --config; without one the shares "
        "are asked for.",
        dir_okay=False,
    ),
]


class OpenVault(Protocol):
    """Opens a vault by a key file, a key provider, or shares that are asked for."""

    def __call__(
        self,
        vault: "SealedVault",
        *,
        key_file: Path | None,
        encryption: "EncryptionSettings | None",
    ) -> "RootKey":
        """Raises `CliError`, and as `SealedVault`."""


def add_commands(
    group: CommandGroup,
    failures: Callable[[str], AbstractContextManager[None]],
    settings: Callable[[Path], "Settings"],
    open_vault: OpenVault,
) -> None:
    """Add them to the commands of backups, which have the functions that all of these need."""

    def open_backup(
        source: "Destination", backup: str, config: Path | None, key_file: Path | None
    ) -> "RootKey":
        from vault.backup.offline import SealedVault
        from vault.backup.restore import read_backup_header

        encryption = None if config is None else settings(config).encryption
        header = read_backup_header(source, backup)
        return open_vault(SealedVault.of_backup(header), key_file=key_file, encryption=encryption)

    @group.command("freehold backup prove /backup ID --config /etc/freehold/vault.yaml")
    def prove(
        context: typer.Context,
        folder: Folder,
        backup: Annotated[str, typer.Argument(metavar="ID", help="The backup's id.")],
        config: Config = None,
        key_file: KeyFile = None,
        identity: Annotated[
            Path | None,
            typer.Option(help="File of `backup keygen`, for a backup with recipients."),
        ] = None,
        work_dir: Annotated[
            Path | None,
            typer.Option(
                help="Where the backup is restored to: needs room for the database, which is "
                "removed again. Default: the folder for temporary files.",
                file_okay=False,
            ),
        ] = None,
    ) -> None:
        """Restore a backup into an empty store, decrypt a sample, and write a certificate.

        The store is removed again. The certificate is written next to the backup, and says how
        long the restore took and how much could have been lost. A backup with recipients takes an
        identity, too; without one the certificate says that the rows were not verified.
        """
        from actors.world import SystemWorld
        from vault.backup.destinations.directory import LocalDirectory
        from vault.backup.proof import find_following, prove_backup

        source = LocalDirectory(folder)
        with failures("there is no certificate"):
            opened = open_backup(source, backup, config, key_file)
            signed = prove_backup(
                source,
                backup,
                opened.keys,
                root_key=opened.root_key,
                name=source.location,
                work=work_dir or Path(tempfile.gettempdir()),
                world=SystemWorld(),
                progress=progress,
                following=find_following(source, backup, opened.keys),
                identity="" if identity is None else _read_identity(identity),
            )
        cli_context(context).print_result(_shown(signed))
        if signed.certificate.depth == "chunks":
            print_note("Warning: nothing was restored: that takes --identity")

    @group.command(
        "freehold backup certificates /backup --verifier freehold.backup/VAULT+0123abcd+KEY",
        "freehold backup certificates /backup --config /etc/freehold/vault.yaml",
    )
    def certificates(
        context: typer.Context,
        folder: Folder,
        verifier: Annotated[
            str, typer.Option(help="The public key, as `backup create` prints it.")
        ] = "",
        config: Config = None,
        key_file: KeyFile = None,
    ) -> None:
        """List the restore certificates of a folder, the oldest first, and verify each.

        It takes the public key, or the root key. Exits with 1 if one is refused.
        """
        from vault.backup.certificate import list_certificates, parse_certificate_verifier
        from vault.backup.destinations.directory import LocalDirectory
        from vault.backup.restore import list_backups

        source = LocalDirectory(folder)
        with failures("nothing was changed"):
            if verifier:
                vault, public = parse_certificate_verifier(verifier)
            else:
                backups, _ = list_backups(source)
                if not backups:
                    raise CliError(f"{folder} has no backup: give --verifier", Exit.NOT_FOUND)
                keys = open_backup(source, backups[-1].id, config, key_file).keys
                vault, public = keys.keyring.vault, keys.backup.note.public
            found, faults = list_certificates(source, vault, public)
        cli_context(context).print_result([_shown(each) for each in found])
        if faults:
            raise CliError("; ".join(fault.message for fault in faults))


def _read_identity(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        raise CliError(f"{file} is no identity of `freehold backup keygen`", Exit.USAGE) from None


def _shown(signed: "SignedCertificate") -> dict[str, Any]:
    found = signed.certificate
    return {
        "backup": found.backup,
        "created": found.created,
        "finished": found.finished,
        "depth": found.depth,
        "rows": found.rows,
        "sampled": f"{found.sampled} of {found.versions}",
        "rto_seconds": None if found.rto_ms is None else found.rto_ms / 1000,
        "rpo_seconds": found.rpo_ms / 1000,
        "certificate": signed.name,
    }
