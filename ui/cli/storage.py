"""`freehold storage …`: move an agent's data to another database."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import cli_context
from ui.cli.errors import CliError, Exit
from ui.cli.output import OutputFormat, encode_yaml, print_note
from ui.cli.process import load_or_exit
from ui.cli.progress import progress

if TYPE_CHECKING:
    from vault.config.settings import Settings, StorageSettings

app = CommandGroup("Move an agent's data to another database.")

_EXITS: Final = {
    "not_initialized": Exit.NOT_FOUND,
    "store_missing": Exit.NOT_FOUND,
    "store_not_empty": Exit.CONFLICT,
    "store_unavailable": Exit.UNREACHABLE,
    "store_locked": Exit.BUSY,
}
_BESIDE: Final = {  # a SQLite file, unless the configuration says where
    "audit.log_file": "audit.log",
    "control_plane.folder": "uplink",
}
_RATE_SECONDS: Final = 0.001  # a shorter time gives no rate

_PASSWORD_HELP: Final = "File with the password, if the URL has none."
_CA_HELP: Final = "Authorities of the server's certificate, PEM; else those of the system."


@dataclass(frozen=True)
class _Database:
    """What an option names; `settings` of the configuration file, if one was given."""

    storage: "StorageSettings"
    settings: "Settings | None" = None


@app.command(
    "freehold storage migrate --from sqlite:////var/lib/freehold/vault.db "
    "--to postgresql://freehold@db.example.com/freehold "
    "--to-password-file /etc/freehold/database-password",
    "freehold storage migrate --from /etc/freehold/vault.yaml --to /etc/freehold/new.yaml",
)
def migrate(
    context: typer.Context,
    from_: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="URL|FILE",
            help="The database to copy: its URL, or the agent's configuration file.",
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="URL|FILE",
            help="An empty database: its URL, or a configuration file for it.",
        ),
    ],
    from_password_file: Annotated[Path | None, typer.Option(help=_PASSWORD_HELP)] = None,
    to_password_file: Annotated[Path | None, typer.Option(help=_PASSWORD_HELP)] = None,
    from_ca_file: Annotated[Path | None, typer.Option(help=_CA_HELP)] = None,
    to_ca_file: Annotated[Path | None, typer.Option(help=_CA_HELP)] = None,
) -> None:
    """Copy a vault to another database: SQLite, PostgreSQL, MySQL or MariaDB.

    Stop the agent first, and run this as the agent's user. The rows are copied as they are, without
    any key, and compared afterwards. Tokens, policies, counters and the audit log stay valid. A run
    that was interrupted goes on where it was when the same command is run again; until it has
    succeeded no agent starts on the new database. The old one is not changed. Client certificates
    for a server are set in a configuration file.
    """
    from actors.world import SystemWorld
    from vault.app import copy_storage
    from vault.errors import VaultError

    source = _database("--from", from_, from_password_file, from_ca_file)
    target = _database("--to", to, to_password_file, to_ca_file)
    _require_different(source.storage, target.storage)
    require_owner(source.storage.file)
    require_owner(target.storage.file)
    world = SystemWorld()
    begun = world.uptime()
    try:
        result = copy_storage(source.storage, target.storage, partial(progress, lines=True))
    except KeyboardInterrupt:
        raise CliError(
            "interrupted; the same command goes on where it was", Exit.INTERRUPTED
        ) from None
    except VaultError as error:
        raise CliError(error.message, _EXITS.get(error.code, Exit.ERROR)) from None
    seconds = max(world.uptime() - begun, _RATE_SECONDS)
    current = cli_context(context)
    shown: dict[str, Any] = {
        "rows": result.rows,
        "copied": result.copied,
        "seconds": round(seconds, 1),
        "rows_per_second": round(result.rows / seconds),
        "root": result.root,
    }
    tables = [{"table": each.table, "rows": each.rows} for each in result.tables]
    if current.output_format is OutputFormat.TABLE:
        current.print_result(tables)
        current.print_result(shown)
    else:
        current.print_result(shown | {"tables": tables})
    _print_next_steps(source, target, to)


def _database(
    option: str, given: str, password_file: Path | None, ca_file: Path | None
) -> _Database:
    """What an option names. Raises `CliError`."""
    from vault.config.load import load_settings, storage_settings

    if "://" in given:
        storage = load_or_exit(
            partial(storage_settings, given, option, password_file=password_file, ca_file=ca_file)
        )
        return _Database(storage)
    if password_file is not None or ca_file is not None:
        raise CliError(
            f"{option}: a configuration file says itself where password and authorities are "
            f"(storage.password_file, storage.tls.ca_file): leave out {option}-password-file and "
            f"{option}-ca-file",
            Exit.USAGE,
        )
    settings = load_or_exit(partial(load_settings, Path(given)))
    return _Database(settings.storage, settings)


def _require_different(source: "StorageSettings", target: "StorageSettings") -> None:
    """Raise `CliError` for one database that is named twice; its lock notices other names."""
    old, new = source.file, target.file
    if old is None or new is None:
        is_same = old is new and str(source.server) == str(target.server)
    else:
        is_same = old == new or (old.exists() and new.exists() and old.samefile(new))
    if is_same:
        raise CliError("--from and --to are the same database", Exit.USAGE)


def require_owner(file: Path | None) -> None:
    """Root would leave files behind that the agent's user cannot open. Raises `CliError`."""
    if file is None or os.geteuid() != 0:
        return
    place = file if file.exists() else file.parent
    if place.exists() and (owner := place.stat().st_uid) != 0:
        raise CliError(
            f"{place} belongs to another user (uid {owner}), and you are root: run this as that "
            "user, for example by sudo -u",
            Exit.USAGE,
        )


def _print_next_steps(source: _Database, target: _Database, given: str) -> None:
    """What a person has to do before an agent is started."""
    if target.settings is None:
        print_note("Set in the agent's configuration, before you start the agent:")
        for line in encode_yaml(_sections(source, target.storage)).splitlines():
            print_note(f"  {line}")
    else:
        print_note(f"Start the agent with {given}.")
        if source.settings is not None:
            new = _local_files(target.settings)
            for name, place in _local_files(source.settings).items():
                if new.get(name) != place:
                    print_note(
                        f"Warning: {given}: {name} is {new.get(name)}; this vault's is {place}"
                    )
    print_note("Do not start an agent on the former database again.")


def _local_files(settings: "Settings") -> Mapping[str, Path]:
    """What belongs to the vault and is on this machine, whatever its database is."""
    from vault.control_link.null import link_folder

    files = {"audit.log_file": settings.audit_log, "anchor.file": settings.anchor_file}
    if settings.control_plane.enabled:
        files["control_plane.folder"] = link_folder(settings)
    return files


def _sections(source: _Database, target: "StorageSettings") -> Mapping[str, Any]:
    """The lines of the configuration that differ from now on; no password is among them."""
    url = target.connection_string.get_secret_value()
    storage: dict[str, Any] = {"type": target.type}
    if (parts := urlsplit(url)).password is not None:
        user, _, host = parts.netloc.rpartition("@")
        url = parts._replace(netloc=f"{user.partition(':')[0]}@{host}").geturl()
        storage["password_file"] = "FILE with the password"
    storage["connection_string"] = url
    if target.password_file is not None:
        storage["password_file"] = str(target.password_file)
    if target.tls.ca_file is not None:
        storage["tls"] = {"ca_file": str(target.tls.ca_file)}
    sections: dict[str, Any] = {"storage": storage}
    for name, file in _beside_database(source).items():
        section, _, key = name.partition(".")
        sections[section] = {key: str(file)}
    return sections


def _beside_database(source: _Database) -> Mapping[str, Path]:
    """What is beside the SQLite file because the configuration does not say where it is.

    With a URL alone: what is there by its usual name.
    """
    database, settings = source.storage.file, source.settings
    if database is None:
        return {}
    if settings is None:
        usual = {name: database.with_name(default) for name, default in _BESIDE.items()}
        return {name: file for name, file in usual.items() if file.exists()}
    said = {
        "audit.log_file": settings.audit.log_file,
        "control_plane.folder": settings.control_plane.folder,
        "anchor.file": settings.audit_log,  # it is beside the log by default
    }
    return {name: file for name, file in _local_files(settings).items() if said[name] is None}
