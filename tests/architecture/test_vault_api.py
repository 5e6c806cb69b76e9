"""docs/reference/vault-api.md says which of Vault's API is served: all of it, and nothing else."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from actors.world import SystemWorld
from vault.authn.methods.registry import make_login_methods
from vault.edge.compat import CompatDialect, database, kv1, kv2, kv2_metadata
from vault.edge.compat.auth import EXTRA
from vault.edge.compat.auth_methods import method_routes
from vault.edge.router import Router

REFUSALS = {
    "refuse_root", "refuse_kv1_read", "refuse_kv1_list", "refuse_kv1_write", "refuse_kv1_delete",
    "_list_data",
}  # fmt: skip
"""Functions that only say what is wrong with a path or a method."""


def test_the_page_has_every_route_and_no_other(root: Path) -> None:
    """Whoever adds a route, or takes one away, is led to the page."""
    sections = (root / "docs/reference/vault-api.md").read_text().split("\n## ")
    told = {part.split("\n", 1)[0]: _rows(part) for part in sections[1:-1]}
    wrapping = "Cubbyholes, wrapped answers and the audit log"
    parts = ("The agent", "Policies", "Identity", "Tokens", "Leases", wrapping)
    agent = set().union(*(told.pop(part) for part in parts))
    assert agent == _routes(CompatDialect.router)
    assert told.pop("KV version 1, under its mount") == _routes(kv1.routes)
    assert told.pop("KV version 2, under its mount") == _routes(kv2.routes, kv2_metadata.routes)
    assert told.pop("The database engine, under its mount") == _routes(database.routes)
    assert told.pop("Auth methods, under their mount") == _method_routes()
    assert not told


def _method_routes() -> set[tuple[str, str]]:
    """Of every auth method, with its type before the path."""
    parts: Any = SimpleNamespace(
        entries=None, scheme=None, world=SystemWorld(), random=bytes, sources=None
    )
    return {
        (method, f"{kind}: {path}")
        for kind, one in make_login_methods(parts).items()
        for method, path in _routes(method_routes(one, EXTRA.get(kind)))
    }


def _rows(part: str) -> set[tuple[str, str]]:
    found = re.findall(r"^\| ([A-Z, ]+) \| (`.*?`) \| ", part, re.MULTILINE)
    return {
        (method, path.strip(" `"))
        for methods, paths in found
        for method in methods.split(", ")
        for path in paths.split(",")
    }


def _routes(*routers: Router) -> set[tuple[str, str]]:
    routes = [route for router in routers for route in router.routes()]
    return {
        (each.method, each.template)
        for each in routes
        if each.template and getattr(each.answer, "__name__", "") not in REFUSALS
    }
