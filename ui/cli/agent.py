"""`freehold agent …`: run the vault agent."""

from pathlib import Path
from typing import Annotated

import typer

from ui.cli.errors import CliError
from ui.cli.output import tell

app = typer.Typer(help="Run a vault agent.", no_args_is_help=True)


@app.command()
def dev(
    listen: Annotated[str, typer.Option(help="host:port, loopback only.")] = "127.0.0.1:8200",
    root_token: Annotated[str, typer.Option(help="The root token, for development.")] = "root",
    data_dir: Annotated[Path, typer.Option(help="Where the data is kept.")] = Path(".freehold-dev"),
) -> None:
    """Run for development: plain HTTP on loopback, initialised and unsealed, KV v2 at secret/."""
    from vault.app import serve_dev
    from vault.config import dev_settings

    settings = _checked(lambda: dev_settings(listen, data_dir))
    tell(f"freehold: development agent on http://{listen}, data in {data_dir}")
    tell(f"  export FREEHOLD_ADDR=http://{listen} FREEHOLD_TOKEN={root_token}")
    _run(lambda: serve_dev(settings, root_token))


@app.command()
def serve(
    config: Annotated[Path, typer.Option(help="The configuration file.", dir_okay=False)],
) -> None:
    """Run in production, as the configuration file says."""
    from vault.app import serve
    from vault.config import load_settings

    settings = _checked(lambda: load_settings(config))
    _run(lambda: serve(settings))
