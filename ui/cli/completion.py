"""Completion of names in the shell: asked of the server, quickly or not at all."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import typer

from ui.cli.connection_settings import ConnectionSettings
from ui.cli.context import api_path
from ui.cli.errors import CliError

if TYPE_CHECKING:
    from ui.cli.client import ApiClient

SECONDS: Final = 2.0
"""How long the shell waits for the server."""

Names = Callable[[typer.Context, str], list[str]]


def secret_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of secrets in the folder that is typed already."""
    folder = incomplete.rpartition("/")[0]

    def ask(client: "ApiClient") -> list[str]:
        found = client.call("GET", api_path("secrets"), query={"prefix": folder, "limit": 1000})
        return [row["name"] for row in found["secrets"]]

    return _matching(context, incomplete, ask)


def user_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of users."""
    return _listed(context, incomplete, "users", lambda found: _field(found["users"], "username"))


def policy_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of policies."""
    return _listed(context, incomplete, "policies", lambda found: list(found["policies"]))


def role_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of roles."""
    return _listed(context, incomplete, "roles", lambda found: _field(found["roles"], "name"))


def mount_paths(context: typer.Context, incomplete: str) -> list[str]:
    """Paths of mounts."""
    return _listed(
        context, incomplete, "system/mounts", lambda found: _field(found["mounts"], "path")
    )


def vault_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of an organization's agents, at the control plane."""
    from ui.cli.fleet_context import organization_of

    def ask(client: "ApiClient") -> list[str]:
        organization = organization_of(client)
        found = client.call("GET", api_path("organizations", organization, "agents"))
        return _field(found, "vault")

    return _matching(context, incomplete, ask, control_plane=True)


def _listed(
    context: typer.Context, incomplete: str, resource: str, names: Callable[[Any], list[str]]
) -> list[str]:
    return _matching(
        context, incomplete, lambda client: names(client.call("GET", api_path(resource)))
    )


def _matching(
    context: typer.Context,
    incomplete: str,
    ask: "Callable[[ApiClient], list[str]]",
    *,
    control_plane: bool = False,
) -> list[str]:
    """The names that begin so; none where the server does not answer or refuses."""
    from ui.cli.client import ApiClient

    address = context.find_root().params.get("address")
    try:
        settings = (
            ConnectionSettings.for_control_plane(address)
            if control_plane
            else ConnectionSettings.from_environment(address)
        )
        names = ask(ApiClient(settings, timeout=SECONDS))
    except CliError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def _field(rows: list[dict[str, Any]], name: str) -> list[str]:
    return [row[name] for row in rows]
