"""Where an agent's anchor is: named, as its configuration says, or beside its audit log."""

from pathlib import Path
from typing import Annotated

import typer

from ui.cli.errors import CliError

Config = Annotated[
    Path | None, typer.Option(help="The agent's configuration file.", dir_okay=False)
]


def anchor_of(config: Path | None, anchor: Path | None) -> Path | None:
    """The anchor file, if either is given. Raises `CliError` for a bad configuration."""
    from vault.config.load import ConfigError, load_settings

    if anchor is not None or config is None:
        return anchor
    try:
        return load_settings(config).anchor_file
    except ConfigError as error:
        raise CliError(str(error)) from None


def anchor_beside(log: Path) -> Path | None:
    """The anchor where it is by default, if it is there."""
    from vault.config.settings import ANCHOR_NAME

    file = log.with_name(ANCHOR_NAME)
    return file if file.exists() else None
