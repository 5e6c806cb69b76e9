"""Which function answers which path: exact templates first, then those that end in `{path}`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from vault.errors import MethodError, NotFoundError

Answer = Callable[..., Awaitable[Any]]
CATCH_ALL: Final = "{path}"


@dataclass(frozen=True, slots=True)
class Route:
    """`template` is the endpoint label in metrics; `public` routes need no credential.

    `cross_site`: a page of another site may have a browser send it. `max_body`: bytes of a body
    that is looked at before the caller is known; 0: as everywhere.
    """

    method: str
    template: str
    answer: Answer
    public: bool = False
    cross_site: bool = False
    max_body: int = 0


class Router:
    """A table of routes. Segments in braces match one segment, a last `{path}` all the rest."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._prefix: dict[str, dict[str, Route]] = {}
        self._patterns: dict[tuple[str, ...], dict[str, Route]] = {}
        self._deepest = 0  # slashes of the prefix that has most

    @classmethod
    def merge(cls, *parts: "Router") -> "Router":
        """One router with the routes of several."""
        whole = cls()
        for route in [route for part in parts for route in part.routes()]:
            whole._table(route.template)[route.method] = route
        return whole

    def add(
        self,
        *methods: str,
        template: str,
        public: bool = False,
        cross_site: bool = False,
        max_body: int = 0,
    ) -> Callable[[Answer], Answer]:
        """Decorate the function that answers `template` for these methods. See `Route`."""

        def register(answer: Answer) -> Answer:
            for method in methods:
                self._table(template)[method] = Route(
                    method, template, answer, public, cross_site, max_body
                )
            return answer

        return register

    def routes(self) -> list[Route]:
        """Every route, for the OpenAPI document and for tests over the whole table."""
        tables = [*self._exact.values(), *self._prefix.values(), *self._patterns.values()]
        return [route for table in tables for route in table.values()]

    def match(self, method: str, path: str) -> tuple[Route, tuple[str, ...]]:
        """The route and what its braces matched.

        Raises `NotFoundError` (`route_not_found`), or `MethodError` when only the method is wrong.
        """
        table, values = self._find(path)
        if table is None:
            raise _no_route()
        route = table.get(method) or (table.get("GET") if method == "HEAD" else None)
        if route is None:
            allow = sorted(table)
            raise MethodError("method_not_allowed", f"use {', '.join(allow)}", allow=allow)
        return route, values

    def options(self, path: str) -> dict[str, Route]:
        """The routes of a path by method. Raises `NotFoundError` (`route_not_found`)."""
        table, _ = self._find(path)
        if table is None:
            raise _no_route()
        return dict(table)

    def sole_route_below(self, method: str, folder: str) -> tuple[Route, int] | None:
        """The one route of all that lies in the folder itself; None unless there is one.

        `folder` has its closing slash. With it, where in a path that begins what `{path}` matches.
        """
        if self._patterns or any(_is_direct_child(folder, path) for path in self._exact):
            return None
        end = len(folder)
        while folder[:end] not in self._prefix and end:
            end = folder.rfind("/", 0, end - 1) + 1
        route = self._prefix.get(folder[:end], {}).get(method)
        return None if route is None else (route, end)

    def _table(self, template: str) -> dict[str, Route]:
        if template.endswith(CATCH_ALL):
            prefix = template.removesuffix(CATCH_ALL)
            self._deepest = max(self._deepest, prefix.count("/"))
            return self._prefix.setdefault(prefix, {})
        if "{" in template:
            return self._patterns.setdefault(tuple(template.split("/")), {})
        return self._exact.setdefault(template, {})

    def _find(self, path: str) -> tuple[dict[str, Route] | None, tuple[str, ...]]:
        table = self._exact.get(path)
        if table is not None:
            return table, ()
        segments = path.split("/") if self._patterns else []
        for pattern, table in self._patterns.items():
            if len(pattern) == len(segments) and (values := _match(pattern, segments)) is not None:
                return table, values
        end = -1
        for _ in range(self._deepest):
            if (further := path.find("/", end + 1)) < 0:
                break
            end = further
        while end >= 0:
            table = self._prefix.get(path[: end + 1])
            if table is not None:
                return table, (path[end + 1 :],)
            end = path.rfind("/", 0, end)
        table = self._prefix.get("")
        return (None, ()) if table is None else (table, (path,))


def _no_route() -> NotFoundError:
    return NotFoundError("route_not_found", "there is no such path in this API")


def _is_direct_child(folder: str, path: str) -> bool:
    return path.startswith(folder) and "/" not in path[len(folder) :] and path != folder


def _match(pattern: tuple[str, ...], segments: list[str]) -> tuple[str, ...] | None:
    values = []
    for want, have in zip(pattern, segments, strict=True):
        if want.startswith("{") and have:
            values.append(have)
        elif want != have:
            return None
    return tuple(values)
