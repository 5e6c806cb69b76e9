"""`freehold control trail …`: what people did, on the machine where the database is."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ui.cli.errors import CliError, Exit, FaultsError
from ui.cli.session import session, shown

if TYPE_CHECKING:
    from actors import World
    from control.api.views import EventView
    from control.config.settings import Settings
    from control.offline import AuditLogVerification

app = typer.Typer(help="What people did: verify it, read it out.", no_args_is_help=True)

Config = Annotated[
    Path | None, typer.Option(help="The configuration file; else --data-dir.", dir_okay=False)
]
DataDir = Annotated[Path, typer.Option(help="Of `freehold control dev`.")]
DEV: Final = Path(".freehold-control")
LOCKED: Final = "stop the control plane, repeat this, and start it again"
MISSING: Final = "name the control plane's --config FILE, or the --data-dir of `control dev`"
_REMEDIES: Final = {"store_locked": LOCKED, "store_missing": MISSING}
COLUMNS: Final = ("organization", "records", "signed", "verdict", "head")


@app.command()
@shown
def verify(context: typer.Context, config: Config = None, data_dir: DataDir = DEV) -> None:
    """Go through every organization's chain, and compare it with the signed heads beside the keys.

    `signed`: the first so many records are in the signed head; it is renewed each minute.
    Exit 1 if a record was changed, dropped or put in, or a trail is not the one that was signed.
    """
    from control.offline import verify_audit_logs

    rows = [_row(each) for each in offline(config, data_dir, verify_audit_logs)]
    session(context).show(rows, COLUMNS)
    if any(row["verdict"] != "whole" for row in rows):
        raise typer.Exit(Exit.ERROR)


@app.command()
def export(
    organization: Annotated[str, typer.Argument(help="Its id.")],
    config: Config = None,
    data_dir: DataDir = DEV,
) -> None:
    """Print every record of an organization, the oldest first, one JSON object a line."""
    from control.offline import export_audit_log

    offline(config, data_dir, partial(export_audit_log, org=organization, write_record=_print))


def settings_of(config: Path | None, data_dir: Path) -> "Settings":
    """Those of the file or of a developer. Raises `CliError`."""
    from control.config.load import dev_settings, load_settings
    from protocols.settings.loader import ConfigError

    try:
        if config is None:
            return dev_settings("127.0.0.1:0", data_dir)
        return load_settings(config)
    except ConfigError as error:
        raise FaultsError(error.faults) from None


def offline(
    config: Path | None, data_dir: Path, do: Callable[["Settings", "World"], Awaitable[Any]]
) -> Any:
    """What `do` gives, with the settings of the file or of a developer. Raises `CliError`."""
    import trio

    from actors import SystemWorld
    from protocols.errors import ApiError
    from protocols.pki.errors import PkiError
    from ui.cli.agent import leaves

    settings, found = settings_of(config, data_dir), None
    told: list[str] = []
    try:
        found = trio.run(do, settings, SystemWorld())
    except* (ApiError, PkiError, OSError) as group:
        told += dict.fromkeys(leaves(group))
        told += [remedy for code, remedy in _REMEDIES.items() if _has(group, code)]
    if told:  # raised here: Python 3.11 puts what an `except*` raises into another group
        raise CliError("; ".join(told))
    return found


def _has(group: BaseExceptionGroup[BaseException], code: str) -> bool:
    return group.subgroup(lambda error: getattr(error, "code", "") == code) is not None


def _row(found: "AuditLogVerification") -> dict[str, Any]:
    return {
        "organization": found.organization,
        "records": found.records,
        "signed": found.kept,
        "verdict": f"broken at record {found.broken_at}" if found.broken_at else "whole",
        "head": found.head.hex(),
    }


def _print(view: "EventView") -> None:
    typer.echo(json.dumps({name: getattr(view, name) for name in view.__struct_fields__}))
