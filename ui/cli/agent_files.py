"""Where an agent's anchor and database are: as its configuration says, or beside its audit log."""

from base64 import b64encode
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ui.cli.errors import CliError
from ui.cli.process import load_or_exit

if TYPE_CHECKING:
    from vault.config.settings import Settings, StorageSettings

DATABASE_NAME: Final = "vault.db"

Config = Annotated[
    Path | None, typer.Option(help="The agent's configuration file.", dir_okay=False)
]


def anchor_path(config: Path | None, anchor: Path | None) -> Path | None:
    """The anchor file, if either is given. Raises `CliError` for a bad configuration."""
    if anchor is not None or config is None:
        return anchor
    return _settings(config).anchor_file


def leave_acceptance(
    config: Path | None, anchor: Path | None, reason: str, subject: str, code: str = ""
) -> Path:
    """Leave an acceptance beside the anchor; where it is. Raises `CliError`, `BadParameter`."""
    from actors.world import SystemWorld
    from vault.seal.anchor import acceptance

    file = anchor_path(config, anchor)
    if file is None:
        raise typer.BadParameter("give the agent's --config, or the --anchor file itself")
    if not 1 <= len(reason) <= acceptance.MAX_REASON:
        raise typer.BadParameter(f"--reason takes 1 to {acceptance.MAX_REASON} characters")
    place = acceptance.acceptance_path(file, acceptance.AcceptanceSubject(subject))
    try:
        acceptance.write_acceptance(
            file,
            acceptance.Acceptance(SystemWorld().now(), reason, code),
            acceptance.AcceptanceSubject(subject),
        )
    except OSError as error:
        raise CliError(f"cannot write {place}: {error.strerror}") from None
    return place


def default_paths(log: Path) -> tuple[Path | None, Path | None]:
    """Anchor and database where they are by default, each if it is there."""
    from vault.config.settings import ANCHOR_NAME

    anchor, database = log.with_name(ANCHOR_NAME), log.with_name(DATABASE_NAME)
    return anchor if anchor.exists() else None, database if database.exists() else None


def database_path(config: Path | None) -> Path | None:
    """The database file, if a configuration names one. Raises `CliError` for a bad one."""
    return None if config is None else _settings(config).storage.file


def server_storage(config: Path | None) -> "StorageSettings | None":
    """The storage, if a configuration names a database server. Raises `CliError`."""
    storage = None if config is None else _settings(config).storage
    return None if storage is None or storage.server is None else storage


def unseal_keys(config: Path) -> list[str]:
    """What the agent's key file holds, in base64: with `key_management: file` its unseal key.

    Several, one of which is in force, after a rekey that has left a second file, and with the file
    of `encryption.migrate_from`. Raises `CliError` for another kind of vault, and for a file that
    cannot be read.
    """
    from vault.errors import UnavailableError
    from vault.seal.manager import read_key_file_shares

    encryption = _settings(config).encryption
    former = encryption.migrate_from
    own = (None if former is None else former.key_file, encryption.key_file)
    files = [file for file in own if file is not None]
    if not files:
        raise CliError(f"{config} has no encryption.key_file: this vault takes shares of people")
    found, trouble = list[bytes](), ""
    for file in files:
        try:
            found += read_key_file_shares(file)
        except UnavailableError as error:
            trouble = trouble or error.message
    if not found:
        raise CliError(
            f"{trouble}; run this as the agent's user, on its machine, after "
            "`freehold operator init`"
        )
    return [b64encode(share).decode() for share in found]


def _settings(config: Path) -> "Settings":
    from vault.config.load import load_settings

    return load_or_exit(partial(load_settings, config))
