"""`freehold control …`: run the control plane."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli import control_ca, control_report, control_trail, control_user
from ui.cli.agent import in_one_line, require_private
from ui.cli.errors import FaultsError
from ui.cli.output import tell
from ui.cli.protection import protect_memory
from ui.cli.session import session, shown
from ui.cli.source import read_new

if TYPE_CHECKING:
    from control.config.settings import Settings

app = typer.Typer(help="Run a control plane.", no_args_is_help=True)
app.add_typer(control_ca.app, name="ca")
app.add_typer(control_trail.app, name="trail")
app.add_typer(control_user.app, name="user")
app.add_typer(control_report.app, name="report")


@app.command()
def dev(
    listen: Annotated[str, typer.Option(help="host:port, loopback only.")] = "127.0.0.1:8300",
    data_dir: Annotated[Path, typer.Option(help="Where the data is kept.")] = Path(
        ".freehold-control"
    ),
    heartbeat: Annotated[
        str, typer.Option(help="How often agents are heard; late after two.")
    ] = "60s",
    offline_after: Annotated[str, typer.Option(help="The silence that means offline.")] = "300s",
) -> None:
    """Run for development: plain HTTP on loopback, SQLite, authority and first account made.

    Agents come to the next port, with TLS.
    """
    from control.app import serve
    from control.config.load import dev_settings

    require_private(data_dir)
    settings = _checked(partial(dev_settings, listen, data_dir, (heartbeat, offline_after)))
    tell(f"freehold: development control plane on http://{listen}, data in {data_dir}")
    _run(
        partial(
            _with_authority,
            data_dir.absolute(),
            partial(serve, settings, tell, password_file=data_dir / "password"),
        )
    )


async def _with_authority(data_dir: Path, serve: Callable[[], Awaitable[None]]) -> None:
    from actors import SystemWorld
    from control.bootstrap import create_dev_authority

    world = SystemWorld()
    await world.run_sync(create_dev_authority, data_dir, world.now())
    await serve()


@app.command()
@shown
def init(
    context: typer.Context,
    organization: Annotated[str, typer.Argument(help="Id of the first organization: acme.")],
    config: Annotated[Path, typer.Option(help="The configuration file.", dir_okay=False)],
    title: Annotated[str, typer.Option(help="What people call it; default: its id.")] = "",
    root: Annotated[
        Path | None,
        typer.Option(help="Folder for the key of the authority's root: take it away afterwards."),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help="Holds the first password, and is made with a random one if it is new."),
    ] = None,
) -> None:
    """Make the authority, the first organization and the first login, before the first start.

    The login is the user admin of the organization platform, who can make all others. The password
    is asked for, or read from stdin, unless --password-file is given.
    """
    from actors import SystemWorld
    from control.bootstrap import initialize, read_or_create_password
    from control.config.load import load_settings

    settings = _checked(partial(load_settings, config))
    ask = (
        partial(read_or_create_password, password_file)
        if password_file
        else partial(read_new, "Password")
    )
    pins: list[str] = []

    async def make() -> None:
        world = SystemWorld()
        pins.append(
            await initialize(
                settings, world, organization=organization, title=title, root=root, password=ask
            )
        )

    _run(make)
    made = {"organization": organization, "login": "admin of platform", "pin": pins[0]}
    session(context).show(made | ({"password": str(password_file)} if password_file else {}))
    if root is not None:
        tell(f"Take {root} away from this machine: its key can make any authority.")
    tell(f"Now start it: freehold control serve --config {config}")


@app.command("serve")
def serve_(
    config: Annotated[Path, typer.Option(help="The configuration file.", dir_okay=False)],
) -> None:
    """Run in production, as the configuration file says."""
    from control.app import serve
    from control.config.load import load_settings

    _run(partial(serve, _checked(partial(load_settings, config)), tell))


@app.command("confirm-clock")
def confirm_clock(
    config: control_trail.Config = None, data_dir: control_trail.DataDir = control_trail.DEV
) -> None:
    """Say that this machine's clock is right, though it is far from the time known to have passed.

    If it is a week ahead, nothing is deleted by age until then. If it is behind, sessions end by
    the later time until then. Look at the clock first. With SQLite the control plane has to be
    stopped for it; with PostgreSQL those that run take it within a minute.
    """
    from control.offline import confirm_clock as confirm

    control_trail.offline(config, data_dir, confirm)
    tell("The clock is confirmed: deletions and expiry go by it.")


def _checked(load: Callable[[], "Settings"]) -> "Settings":
    from protocols.settings.loader import ConfigError

    try:
        return load()
    except ConfigError as error:
        raise FaultsError(error.faults) from None


def _run(plane: Callable[[], Awaitable[None]]) -> None:
    """Run it; what it cannot start with is one line, not a traceback."""
    import trio

    from protocols.errors import ApiError
    from protocols.pki.errors import PkiError

    protect_memory()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    in_one_line(partial(trio.run, plane), ApiError, PkiError, OSError)
