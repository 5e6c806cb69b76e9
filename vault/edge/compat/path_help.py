"""`?help=1` (`bao path-help`): what a path answers to, from the routes themselves."""

from collections.abc import Sequence
from inspect import getdoc
from typing import Any, Final

from vault import operations
from vault.edge.compat.envelope import plain_reply
from vault.edge.compat.fields import parse_bool
from vault.edge.compat.health import API_VERSION
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Route, Router
from vault.model.auth_mounts import AUTH
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing

PARAMETER: Final = "help"
_METHODS: Final = {
    "LIST": "get",
    "GET": "get",
    "POST": "post",
    "PATCH": "patch",
    "DELETE": "delete",
}


def asks_for_help(request: Request) -> bool:
    """Whether a request asks for the help of its path (`?help=1`)."""
    text = request.query.get(PARAMETER)
    return request.method == "GET" and bool(text) and parse_bool(str(text)) is True


def help_route(path: str, router: Router, below: str, mount: str) -> Route:
    """The route that answers with the help of a path, which is `below` of the `mount`.

    Of a mount itself it tells all that is in it. Raises as `Router.options`.
    """
    if below.strip("/") or not mount:
        routes = list(router.options(below).values())
    else:
        routes = router.routes()
    routes.sort(key=lambda route: (route.template, route.method))
    at = "sys/help" if not mount or mount.startswith(AUTH) else mount.rstrip("/")

    async def answer(dialect: Dialect, request: Request) -> Reply:
        """What the path answers to."""
        if at == "sys/help":
            await dialect.run_operation(
                request, operations.READ_HELP, ResourcePath.parse(at), Nothing()
            )
        else:  # who may do nothing in a mount is not told what is there
            await dialect.run_operation(
                request, operations.RESOLVE_MOUNT, ResourcePath.parse(at), Nothing()
            )
        body = {"help": _text(path, routes), "openapi": _document(routes), "see_also": None}
        return plain_reply(body)

    return Route("GET", f"{mount}{routes[0].template}", answer)


def _text(path: str, routes: Sequence[Route]) -> str:
    templates = dict.fromkeys(route.template for route in routes)
    lines = [f"Request:        {path}", f"Matching Route: {', '.join(templates)}", ""]
    lines += ["## DESCRIPTION", "", "This path responds to the following HTTP methods."]
    for route in routes:
        lines += ["", f"    {route.method} /{route.template}", f"        {_summary(route)}"]
    return "\n".join(lines)


def _document(routes: Sequence[Route]) -> dict[str, Any]:
    """As much of an OpenAPI document as the routes know."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        about: dict[str, Any] = {
            "summary": _summary(route),
            "responses": {"200": {"description": "OK"}},
        }
        if route.method == "LIST":
            about["parameters"] = [_LISTS]
        paths.setdefault(f"/{route.template}", {}).setdefault(_METHODS[route.method], about)
    return {
        "openapi": "3.0.2",
        "info": {"title": "Vault-compatible API", "version": API_VERSION},
        "paths": paths,
        "components": {"schemas": {}},
    }


_LISTS: Final = {
    "name": "list",
    "description": "Must be set to `true`",
    "in": "query",
    "schema": {"type": "string", "enum": ["true"]},
    "required": True,
}


def _summary(route: Route) -> str:
    """The first line of the docstring of a route's handler."""
    return (getdoc(route.answer) or "").partition("\n")[0]
