"""`freehold storage …`: move an agent's data to another database."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

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
_PLACES: Final = {  # beside a SQLite file, unless the configuration says where
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
    _require_owner(source.storage.file)
    _require_owner(target.storage.file)
    world = SystemWorld()
    begun = world.uptime()
    try:
        result = copy_storage(source.storage, target.storage, partial(progress, lines=True))
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
    files = source.file, target.file
    is_same = (
        files[0] == files[1]
        or (files[0].exists() and files[1].exists() and files[0].samefile(files[1]))
        if files[0] is not None and files[1] is not None
        else source.server is not None and str(source.server) == str(target.server)
    )
    if is_same:
        raise CliError("--from and --to are the same database", Exit.USAGE)


def _require_owner(file: Path | None) -> None:
    """Root would leave files behind that the agent's user cannot open."""
    if file is None or os.geteuid() != 0:
        return
    place = file if file.exists() else file.parent
    if place.exists() and (owner := place.stat().st_uid) != 0:
        raise CliError(
            f"{place} belongs to another user (uid {owner}): run this as that user, for example by "
            "setpriv or sudo -u",
            Exit.USAGE,
        )


def _print_next_steps(source: _Database, target: _Database, given: str) -> None:
    """What a person has to do before an agent is started."""
    places = _local_files(source)
    if target.settings is not None:
        print_note(f"Start the agent with {given}, and with the former configuration no more.")
        found = _local_files(target)
        wrong = {name: place for name, place in places.items() if found.get(name, place) != place}
        for name, place in wrong.items():
            print_note(f"Warning: {given}: {name} is {found[name]}; this vault's is {place}")
        return
    print_note("Set in the agent's configuration, before you start the agent:")
    for line in encode_yaml(_sections(target.storage, _missing(source, places))).splitlines():
        print_note(f"  {line}")
    print_note("Do not start an agent on the former database again.")


def _local_files(place: _Database) -> Mapping[str, Path]:
    """Where the machine keeps what is not in the database, as far as that is known."""
    settings, file = place.settings, place.storage.file
    if settings is None:
        if file is None:
            return {}
        found = {name: file.with_name(default) for name, default in _PLACES.items()}
        return {name: path for name, path in found.items() if path.exists()}
    from vault.control_link.null import link_folder

    places = {"audit.log_file": settings.audit_log, "anchor.file": settings.anchor_file}
    if settings.control_plane.enabled:
        places["control_plane.folder"] = link_folder(settings)
    return places


def _missing(source: _Database, places: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    """Those that followed from where the SQLite file is, and follow from it no more."""
    settings = source.settings
    for name, place in places.items():
        said = (
            settings is not None
            and {
                "audit.log_file": settings.audit.log_file,
                "anchor.file": place,  # it follows from the audit log
                "control_plane.folder": settings.control_plane.folder,
            }[name]
        )
        if not said:
            yield name, place


def _sections(storage: "StorageSettings", more: Iterator[tuple[str, Path]]) -> Mapping[str, Any]:
    """The lines of the configuration; no password is among them."""
    url = storage.connection_string.get_secret_value()
    section: dict[str, Any] = {"type": storage.type}
    server = storage.server
    if server is not None and server.password:
        before, _, after = url.partition("@")
        url = f"{before.rpartition(':')[0]}@{after}"
        section["password_file"] = "FILE with the password"
    section["connection_string"] = url
    if storage.password_file is not None:
        section["password_file"] = str(storage.password_file)
    if storage.tls.ca_file is not None:
        section["tls"] = {"ca_file": str(storage.tls.ca_file)}
    sections: dict[str, Any] = {"storage": section}
    for name, place in more:
        part, _, key = name.partition(".")
        sections[part] = {key: str(place)}
    return sections
