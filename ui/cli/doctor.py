"""`freehold doctor`: what is wrong with an installation, and what to do."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli.context import CliContext, cli_context
from ui.cli.errors import CliError, Exit
from ui.cli.output import OutputFormat, print_note, print_text

if TYPE_CHECKING:
    from vault.installation.finding import Finding
    from vault.installation.machine import User


def doctor(
    context: typer.Context,
    config: Annotated[Path, typer.Option(help="The agent's configuration file.", dir_okay=False)],
    name: Annotated[
        list[str] | None,
        typer.Option(help="Name by which clients call the agent, to hold the certificate against."),
    ] = None,
    user: Annotated[
        str,
        typer.Option(help="User that the agent runs as. Default: the owner of its data, or you."),
    ] = "",
) -> None:
    """Find what is wrong with an agent's installation, running or not; nothing is changed.

    Looks at settings, files, disks, certificate, port, database, root key, audit log, backups,
    control plane and machine. Run it as root or as the agent's user. Exit code 1: there is an
    error; warnings alone are 0.
    """
    from vault.errors import NotFoundError
    from vault.installation.doctor import examine
    from vault.installation.machine import Machine, User

    try:
        whom = User.named(user) if user else _owner(config)
    except NotFoundError as error:
        raise CliError(error.message, Exit.NOT_FOUND) from None
    findings = examine(config, Machine(user=whom), names=tuple(name or ()))
    print_findings(cli_context(context), findings)
    if any(found.severity == "error" for found in findings):
        raise typer.Exit(Exit.ERROR)
    if not findings:
        print_note("nothing is wrong")


def _owner(config: Path) -> "User":
    """Root looks for whoever has the agent's data; everybody else is the agent's user."""
    from pwd import getpwuid

    from protocols.settings.loader import ConfigError
    from vault.config.load import load_settings
    from vault.installation.machine import User

    if os.geteuid() != 0:
        return User.current()
    try:
        return User.named(getpwuid(load_settings(config).data_folder.stat().st_uid).pw_name)
    except (ConfigError, OSError, KeyError):
        return User.current()


def print_findings(context: CliContext, findings: "Sequence[Finding]") -> None:
    """Each with what to do; for programs as a list."""
    if context.output_format is not OutputFormat.TABLE:
        context.print_result(
            [
                {
                    "code": found.code,
                    "severity": str(found.severity),
                    "problem": found.problem,
                    "remedy": found.remedy,
                }
                for found in findings
            ]
        )
        return
    for found in findings:
        print_text(f"{found.severity}: {found.problem} ({found.code})\n  {found.remedy}")
