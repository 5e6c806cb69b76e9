"""`freehold agent …`: run the vault agent."""

import errno
import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli import agent_link
from ui.cli.errors import CliError, FaultsError
from ui.cli.output import tell
from ui.cli.protection import protect_memory
from ui.cli.session import shown

if TYPE_CHECKING:
    from vault.config import Settings

DEV_TOKEN = "root"

app = typer.Typer(help="Run a vault agent.", no_args_is_help=True)
app.command()(agent_link.enrol)
app.command()(shown(agent_link.link))
app.add_typer(agent_link.egress, name="egress")
app.add_typer(agent_link.usage, name="usage")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Until `collector.settle`: what is loaded stays; to look at it again and again costs time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@app.command()
@_uncollected()
def dev(
    listen: Annotated[str, typer.Option(help="host:port, loopback only.")] = "127.0.0.1:8200",
    root_token: Annotated[str, typer.Option(help="The root token, for development.")] = DEV_TOKEN,
    data_dir: Annotated[Path, typer.Option(help="Where the data is kept.")] = Path(".freehold-dev"),
    workers: Annotated[int, typer.Option(help="Processes that serve.")] = 1,
    heartbeat: Annotated[
        str, typer.Option(help="How often its control plane hears of it, if it is enrolled.")
    ] = "60s",
) -> None:
    """Run for development: plain HTTP on loopback, initialised and unsealed, KV v2 at secret/."""
    from vault.config.load import dev_settings

    require_private(data_dir)
    settings = checked(partial(dev_settings, listen, data_dir, workers, heartbeat))
    known = root_token if root_token == DEV_TOKEN else "…"  # not secret: the default

    def listening(port: int) -> None:
        address = f"http://{listen.rpartition(':')[0]}:{port}"
        tell(f"freehold: development agent on {address}, data in {data_dir}")
        if settings.server.web:
            tell(f"  in a browser: {address}/")
        tell(f"  export FREEHOLD_ADDR={address} FREEHOLD_TOKEN={known}")

    _run(settings, listening, dev_token=root_token)


@app.command("serve")
@_uncollected()
def serve_(
    config: Annotated[Path, typer.Option(help="The configuration file.", dir_okay=False)],
) -> None:
    """Run in production, as the configuration file says."""
    from vault.config.load import load_settings

    def listening(port: int) -> None:
        tell(f"freehold: listening on port {port}")

    _run(checked(partial(load_settings, config)), listening)


def checked(load: Callable[[], "Settings"]) -> "Settings":
    """The settings; what is wrong with them is a line each."""
    from vault.config.load import ConfigError

    try:
        return load()
    except ConfigError as error:
        raise FaultsError(error.faults) from None


def require_private(folder: Path) -> None:
    """Make the data folder for its owner only, whatever the umask is."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(f"cannot make {folder}: {error.strerror}") from None


def _run(settings: "Settings", listening: Callable[[int], None], *, dev_token: str = "") -> None:
    """Run the agent; what it cannot start with is one line, not a traceback."""
    import trio

    from vault.app import fork_workers, serve
    from vault.errors import VaultError

    protect_memory()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its steps are of no use to a reader
    zygote = fork_workers(settings)
    try:
        trio.run(partial(serve, settings, dev_token=dev_token, zygote=zygote, listening=listening))
    except* (VaultError, OSError) as group:
        told = "; ".join(dict.fromkeys(leaves(group)))
        raise CliError(told) from None


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[str]:
    """What each error in the group says, a line each."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        elif isinstance(error, OSError):
            yield _told(error)
        else:
            yield str(error)


def _told(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        where = error.filename or "this address"
        return f"something listens on {where} already; end it or choose another address"
    told = error.strerror or str(error)
    return f"{error.filename}: {told}" if error.filename else told
