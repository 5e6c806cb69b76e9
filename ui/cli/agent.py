"""`freehold agent …`: run the vault agent."""

import errno
import gc
import logging
import os
import shlex
import stat
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

if TYPE_CHECKING:
    from vault.config import Settings
    from vault.seal.manager import SealStatus

app = typer.Typer(help="Run a vault agent.", no_args_is_help=True)
app.command()(agent_link.enrol)
app.add_typer(agent_link.link, name="link")
app.add_typer(agent_link.egress, name="egress")
app.add_typer(agent_link.usage, name="usage")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Until `freeze_at_startup`: what is loaded stays; to look at it again and again costs time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@app.command()
@_uncollected()
def dev(
    listen: Annotated[str, typer.Option(help="host:port, loopback only.")] = "127.0.0.1:8200",
    data_dir: Annotated[Path, typer.Option(help="Where the data is kept.")] = Path(".freehold-dev"),
    root_token_file: Annotated[
        Path | None,
        typer.Option(
            help="Holds the root token, and is made with a random one if it is not there; "
            "default: root-token in the data folder."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that serve.")] = 1,
    heartbeat: Annotated[
        str, typer.Option(help="How often its control plane hears of it, if it is enrolled.")
    ] = "60s",
) -> None:
    """Run for development: plain HTTP on loopback, initialised and unsealed, KV v2 at secret/.

    The root token is what --root-token-file holds; one that was used before ends.
    """
    from vault.config.load import dev_settings

    require_private(data_dir)
    settings = checked(partial(dev_settings, listen, data_dir, workers, heartbeat))
    token_file = root_token_file or data_dir / "root-token"

    def listening(port: int, _: "SealStatus") -> None:
        address = f"http://{listen.rpartition(':')[0]}:{port}"
        tell(f"freehold: development agent on {address}, data in {data_dir}")
        if settings.server.web:
            tell(f"  in a browser: {address}/")
        tell(
            f"  export FREEHOLD_ADDR={address} FREEHOLD_TOKEN=$(cat {shlex.quote(str(token_file))})"
        )

    _run(settings, listening, token_file)


@app.command("serve")
@_uncollected()
def serve_(
    config: Annotated[Path, typer.Option(help="The configuration file.", dir_okay=False)],
) -> None:
    """Run in production, as the configuration file says."""
    from vault.config.load import load_settings

    def listening(port: int, status: "SealStatus") -> None:
        tell(f"freehold: listening on port {port}")
        if not status.initialized:
            tell("  no vault is here yet: make it once, with `freehold operator init`")
        elif status.sealed:
            tell("  the vault is sealed: open it with `freehold operator unseal`")

    _run(checked(partial(load_settings, config)), listening)


def checked(load: Callable[[], "Settings"]) -> "Settings":
    """The settings; what is wrong with them is a line each."""
    from vault.config.load import ConfigError

    try:
        return load()
    except ConfigError as error:
        raise FaultsError(error.faults) from None


def require_private(folder: Path) -> None:
    """Make the data folder for its owner only, whatever the umask is.

    One that is there has to be this user's, and nobody else may write to it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise CliError(f"cannot make {folder}: {error.strerror}") from None
    if found.st_uid != os.geteuid():
        raise CliError(f"{folder} belongs to another user: choose another folder with --data-dir")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        place = shlex.quote(str(folder))
        raise CliError(f"others may write to {folder} (mode {mode}): chmod 700 {place}")


def _run(
    settings: "Settings",
    listening: Callable[[int, "SealStatus"], None],
    dev_token: Path | None = None,
) -> None:
    """Run the agent; what it cannot start with is one line, not a traceback."""
    import trio

    from vault.app import fork_workers, serve
    from vault.errors import VaultError

    protect_memory()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its steps are of no use to a reader
    zygote = fork_workers(settings)
    served = partial(serve, settings, dev_token=dev_token, zygote=zygote, on_listening=listening)
    in_one_line(partial(trio.run, served), VaultError, OSError)


def in_one_line(run: Callable[[], object], *kinds: type[Exception]) -> None:
    """Run it; errors of these kinds, alone or in groups, are one `CliError`."""
    told: list[str] = []
    try:
        run()
    except* kinds as group:
        told += dict.fromkeys(leaves(group))
    if told:  # raised here: Python 3.11 puts what an `except*` raises into another group
        raise CliError("; ".join(told))


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
