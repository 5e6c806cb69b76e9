"""`freehold kubernetes …`: the operator, which makes agents and Secrets of custom resources."""

import logging
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.output import print_note
from ui.cli.process import in_one_line, load_or_exit, protect_memory

app = CommandGroup("Run the Kubernetes operator.")


@app.command("freehold kubernetes serve --config /etc/freehold/operator.yaml", name="serve")
def serve_(
    config: Annotated[Path, typer.Option(help="The configuration file.", dir_okay=False)],
) -> None:
    """Look after FreeholdAgent, FreeholdSecret and FreeholdPolicy of a cluster.

    In a pod it finds the API server and its account by itself. Of several operators one works.
    """
    from importlib.metadata import version

    import trio

    from kube_operator.app import serve
    from kube_operator.errors import ClusterError
    from kube_operator.settings import load_settings

    settings = load_or_exit(partial(load_settings, config))
    protect_memory()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    run = partial(trio.run, serve, settings, print_note, version("freehold"))
    in_one_line(run, ClusterError, OSError)


@app.command("freehold kubernetes health --config /etc/freehold/operator.yaml")
def health(
    config: Annotated[Path, typer.Option(help="The configuration file.", dir_okay=False)],
    ready: Annotated[
        bool, typer.Option("--ready", help="Also fail until it has seen all resources.")
    ] = False,
) -> None:
    """Ask the operator on this machine whether it answers; for health checks of containers."""
    from kube_operator.settings import load_settings
    from ui.cli.agent_install import check_health

    server = load_or_exit(partial(load_settings, config)).server
    check_health(*server.address, tls=False, ready=ready)
