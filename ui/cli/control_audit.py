"""`freehold control audit …`: what people did, on the machine where the database is."""

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import cli_context
from ui.cli.errors import CliError, Exit
from ui.cli.output import OutputFormat, encode_json, encode_yaml
from ui.cli.process import error_lines, load_or_exit
from ui.cli.progress import progress

if TYPE_CHECKING:
    from actors import World
    from control.api.views import EventView
    from control.config.settings import Settings
    from control.offline import AuditLogVerification

app = CommandGroup("The control plane's audit log: what people did.")

Config = Annotated[
    Path | None, typer.Option(help="The configuration file; else --data-dir.", dir_okay=False)
]
DataDir = Annotated[Path, typer.Option(help="Data folder of `freehold control dev`.")]
DEV: Final = Path(".freehold-control")
LOCKED: Final = "stop the control plane, repeat this, and start it again"
MISSING: Final = "name the control plane's --config FILE, or the --data-dir of `control dev`"
_REMEDIES: Final = {"store_locked": LOCKED, "store_missing": MISSING}
COLUMNS: Final = ("organization", "records", "signed", "verdict", "head")


@app.command("freehold control audit verify --config /etc/freehold/control.yaml")
def verify(context: typer.Context, config: Config = None, data_dir: DataDir = DEV) -> None:
    """Check every organization's hash chain, and compare it with its signed head.

    `signed`: how many records the signed head covers; it is renewed each minute. Exit code 1 if a
    record was changed, removed or inserted, or a log is not the one that was signed.
    """
    from control.offline import verify_audit_logs

    with progress("Verifying audit logs"):
        rows = [_row(each) for each in run_offline(config, data_dir, verify_audit_logs)]
    cli_context(context).print_result(rows, COLUMNS)
    if any(row["verdict"] != "whole" for row in rows):
        raise typer.Exit(Exit.ERROR)


@app.command("freehold control audit export acme --config /etc/freehold/control.yaml > acme.jsonl")
def export(
    context: typer.Context,
    organization: Annotated[str, typer.Argument(help="Id of the organization.")],
    config: Config = None,
    data_dir: DataDir = DEV,
) -> None:
    """Print every record of an organization, oldest first: one JSON object a line.

    With --output yaml, one YAML document a record.
    """
    from control.offline import export_audit_log

    as_yaml = cli_context(context).output_format is OutputFormat.YAML
    write = _print_yaml if as_yaml else _print_json
    run_offline(config, data_dir, partial(export_audit_log, org=organization, write_record=write))


def load_settings(config: Path | None, data_dir: Path) -> "Settings":
    """The settings of the file, else of a development control plane. Raises `CliError`."""
    from control.config.load import dev_settings
    from control.config.load import load_settings as load

    if config is None:
        return load_or_exit(partial(dev_settings, "127.0.0.1:0", data_dir))
    return load_or_exit(partial(load, config))


def run_offline(
    config: Path | None, data_dir: Path, do: Callable[["Settings", "World"], Awaitable[Any]]
) -> Any:
    """The result of `do`, with the settings that `load_settings` finds. Raises `CliError`."""
    import trio

    from actors import SystemWorld
    from protocols.errors import ApiError
    from protocols.pki.errors import PkiError

    settings, found = load_settings(config, data_dir), None
    lines: list[str] = []
    exit_code = Exit.ERROR
    try:
        found = trio.run(do, settings, SystemWorld())
    except* (ApiError, PkiError, OSError) as group:
        lines += dict.fromkeys(error_lines(group))
        lines += [remedy for code, remedy in _REMEDIES.items() if _has(group, code)]
        exit_code = Exit.NOT_FOUND if _has(group, "not_found") else Exit.ERROR
    if lines:  # raised here: Python 3.11 puts what an `except*` raises into another group
        raise CliError("; ".join(lines), exit_code)
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


def _print_json(view: "EventView") -> None:
    sys.stdout.write(f"{encode_json(_fields(view))}\n")


def _print_yaml(view: "EventView") -> None:
    sys.stdout.write(f"---\n{encode_yaml(_fields(view))}")


def _fields(view: "EventView") -> dict[str, Any]:
    return {name: getattr(view, name) for name in view.__struct_fields__}
