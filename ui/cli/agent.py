"""`freehold agent …`: run the vault agent."""

import gc
import logging
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli import agent_install, agent_link
from ui.cli.command_group import CommandGroup
from ui.cli.output import print_note
from ui.cli.process import in_one_line, load_or_exit, make_private_folder, protect_memory

if TYPE_CHECKING:
    from vault.config import Settings
    from vault.seal.manager import SealStatus

app = CommandGroup("Run a vault agent.")


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Until `freeze_at_startup`: what is loaded stays; to look at it again and again costs time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@app.command("freehold agent dev", "freehold agent dev --listen 127.0.0.1:8210 --data-dir ./data")
@_without_garbage_collection()
def dev(
    listen: Annotated[str, typer.Option(help="host:port on loopback.")] = "127.0.0.1:8200",
    data_dir: Annotated[Path, typer.Option(help="Data folder.")] = Path(".freehold-dev"),
    root_token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the root token; created with a random one if it is missing. "
            "Default: root-token in the data folder."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of worker processes.")] = 1,
    database: Annotated[
        str,
        typer.Option(
            help="URL of an empty database on a server, postgresql:// or mysql://. "
            "Default: a file in the data folder."
        ),
    ] = "",
    heartbeat: Annotated[
        str, typer.Option(help="Time between two heartbeats to its control plane, if enrolled.")
    ] = "60s",
) -> None:
    """Run for development: plain HTTP on loopback, initialized and unsealed, KV v2 at secret/.

    The file --root-token-file holds the root token. A root token of an earlier run is revoked.
    """
    from vault.config.load import dev_settings

    make_private_folder(data_dir)
    settings = load_or_exit(
        partial(dev_settings, listen, data_dir, workers, heartbeat, database=database)
    )
    token_file = root_token_file or data_dir / "root-token"

    def listening(port: int, _: "SealStatus") -> None:
        address = f"http://{listen.rpartition(':')[0]}:{port}"
        print_note(f"freehold: development agent on {address}, data in {data_dir}")
        if settings.server.web:
            print_note(f"  in a browser: {address}/")
        print_note(
            f"  export FREEHOLD_ADDR={address} FREEHOLD_TOKEN=$(cat {shlex.quote(str(token_file))})"
        )

    _run(settings, listening, token_file)


@app.command("freehold agent serve --config /etc/freehold/vault.yaml", name="serve")
@_without_garbage_collection()
def serve_(
    config: Annotated[Path, typer.Option(help="The configuration file.", dir_okay=False)],
) -> None:
    """Run in production, with a configuration file."""
    from vault.config.load import load_settings

    def listening(port: int, status: "SealStatus") -> None:
        print_note(f"freehold: listening on port {port}")
        if not status.initialized:
            print_note("  the vault is not initialized: run `freehold operator init` once")
        elif status.waiting:
            print_note(f"  the vault is sealed and waits for {status.waiting}")
        elif status.sealed:
            print_note("  the vault is sealed: run `freehold operator unseal`")

    _run(load_or_exit(partial(load_settings, config)), listening)


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


app.command(
    "freehold agent enrol --control https://control.example:8301 --pin $PIN",
    "freehold agent enrol --control https://control.example:8301 --pin $PIN --join",
)(agent_link.enrol)
app.command(
    "freehold agent init --config /etc/freehold/vault.yaml --name vault.example.com",
    "freehold agent init --config vault.yaml --data-dir data --log-dir logs --name localhost",
)(agent_install.init)
app.command("freehold agent health --config /etc/freehold/vault.yaml")(agent_install.health)
app.add_group(agent_install.certificate, "certificate")
app.add_group(agent_link.link, "link")
app.add_group(agent_link.egress, "egress")
app.add_group(agent_link.usage, "usage")
