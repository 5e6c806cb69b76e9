"""Looks an installation over, without changing it: every check, in the order of a start."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from protocols.settings.loader import ConfigError
from vault.config import load_settings
from vault.installation import file_checks, machine_checks, network_checks, vault_checks
from vault.installation.finding import Check, Finding, Installation, error, warning
from vault.installation.machine import Machine

FIRST_RUN: Final[tuple[Check, ...]] = (
    machine_checks.check_clock,
    machine_checks.check_limits,
    machine_checks.check_user,
    machine_checks.check_pages,
    file_checks.check_settings_file,
    file_checks.check_folders,
    file_checks.check_disks,
    file_checks.check_database_disk,
    network_checks.check_certificate,
    network_checks.check_address,
    vault_checks.check_login_methods,
)
"""What a machine needs before there is a vault."""
CHECKS: Final[tuple[Check, ...]] = (
    *FIRST_RUN,
    network_checks.check_client_authorities,
    machine_checks.check_service,
    file_checks.check_owners,
    file_checks.check_secret_files,
    file_checks.check_copies,
    vault_checks.check_key_provider,
    vault_checks.check_database,
    vault_checks.check_audit,
    vault_checks.check_backups,
    vault_checks.check_control_plane,
)


def examine(
    config: Path,
    machine: Machine,
    *,
    names: tuple[str, ...] = (),
    environment: Mapping[str, str] = os.environ,
    checks: tuple[Check, ...] = CHECKS,
) -> tuple[Finding, ...]:
    """All that is wrong. `names`: by which clients call the agent. Blocks for some seconds."""
    try:
        settings = load_settings(config, environment)
    except ConfigError as failure:
        return tuple(
            error("settings_invalid", fault, "correct it: docs/reference/configuration.md")
            for fault in failure.faults
        )
    running = network_checks.is_running(settings)
    what = Installation(config, settings, machine, names, running)
    return tuple(found for check in checks for found in _examined(check, what))


def _examined(check: Check, what: Installation) -> Iterator[Finding]:
    """What a check finds; that it was not allowed to look is a finding, too."""
    try:
        yield from check(what)
    except OSError as failure:
        yield warning(
            "not_examined",
            f"{failure.filename or check.__name__}: {failure.strerror}",
            f"run this as root, or as {what.machine.user.name}",
        )
