"""`freehold control trail …`: what people did, on the machine where the database is.

SQLite is for one process: stop the control plane first. PostgreSQL is read beside it.
"""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ui.cli.errors import CliError, Exit
from ui.cli.session import session, shown

if TYPE_CHECKING:
    from actors import World
    from control.config.settings import Settings
    from control.services.heads import Head
    from control.services.trail import Trail, Verdict
    from control.store.store import Store

app = typer.Typer(help="What people did: verify it, read it out.", no_args_is_help=True)

Config = Annotated[
    Path | None, typer.Option(help="The configuration file; else --data-dir.", dir_okay=False)
]
DataDir = Annotated[Path, typer.Option(help="Of `freehold control dev`.")]
DEV: Final = Path(".freehold-control")
PAGE: Final = 1000
COLUMNS: Final = ("organization", "records", "kept", "verdict", "head")


@app.command()
@shown
def verify(context: typer.Context, config: Config = None, data_dir: DataDir = DEV) -> None:
    """Go through every organization's chain, and compare it with the signed heads beside the keys.

    Exit 1 if a record was changed, dropped or put in, or a trail is not the one that was signed.
    """
    rows = _with(config, data_dir, _verified)
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
    _with(config, data_dir, partial(_printed, organization))


async def _verified(store: "Store", settings: "Settings", world: "World") -> list[dict[str, Any]]:
    from control.services.events import Bus
    from control.services.trail import Trail
    from control.store import records

    kept = await world.run_sync(_kept, settings)
    trail = Trail(store, Bus(), world)
    known = [org for org, _, _ in await store.read(records.ends)]
    names = sorted({*known, *kept})  # a trail that is gone whole has a head all the same
    return [await _one(trail, org, kept.get(org)) for org in names]


async def _one(trail: "Trail", org: str, head: "Head | None") -> dict[str, Any]:
    at = (0, bytes(32)) if head is None else (head.size, head.hash)
    verdict = await trail.verify(org, at)
    return {
        "organization": org,
        "records": verdict.size,
        "kept": at[0],
        "verdict": _said(verdict),
        "head": verdict.head.hex(),
    }


def _said(verdict: "Verdict") -> str:
    return f"broken at record {verdict.broken_at}" if verdict.broken_at else "whole"


def _kept(settings: "Settings") -> "dict[str, Head]":
    """The signed heads; none where the control plane has not run for a minute yet."""
    from control.services.heads import FILE, decoded
    from control.unit import public, signing_key
    from protocols.pki import files

    path = settings.keys.folder / FILE
    if not path.exists():
        return {}
    return decoded(files.read(path), public(signing_key(settings.keys.folder, "witness")))


async def _printed(org: str, store: "Store", settings: "Settings", world: "World") -> None:  # noqa: ARG001
    from control.api.views import event
    from control.store import records

    after = 0
    while page := await store.read(partial(records.events, org=org, after=after, limit=PAGE)):
        for row in page:
            view = event(row)
            typer.echo(json.dumps({name: getattr(view, name) for name in view.__struct_fields__}))
        after = page[-1].seq


def _with(
    config: Path | None,
    data_dir: Path,
    ask: Callable[["Store", "Settings", "World"], Awaitable[Any]],
) -> Any:
    """What `ask` finds in the store. Raises `CliError`."""
    import trio

    from actors import SystemWorld
    from control.config.load import dev_settings, load_settings
    from control.store.store import open_store
    from protocols.errors import ApiError
    from protocols.pki.errors import PkiError
    from protocols.settings.load import ConfigError
    from ui.cli.agent import leaves

    try:
        settings = (
            dev_settings("127.0.0.1:0", data_dir) if config is None else load_settings(config)
        )
    except ConfigError as error:
        raise CliError(str(error)) from None
    url = settings.database.url.get_secret_value()
    shared = url.startswith("postgresql")  # beside a control plane that runs

    async def run() -> Any:
        world = SystemWorld()
        async with open_store(url, world, shared=shared) as store:
            return await ask(store, settings, world)

    found: Any = None
    try:
        found = trio.run(run)
    except* (ApiError, PkiError, OSError) as group:
        raise CliError("; ".join(dict.fromkeys(leaves(group)))) from None
    return found
