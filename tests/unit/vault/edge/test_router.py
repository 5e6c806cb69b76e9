"""Tests of which function answers which path."""

import pytest

from vault.edge.router import Answer, Router
from vault.errors import MethodError, NotFoundError


def answering(name: str) -> Answer:
    """An answer that is told from the others."""

    async def answer(*_values: object) -> str:
        return name

    return answer


def routed(router: Router, method: str, path: str) -> tuple[str, tuple[str, ...]]:
    """The template that matches, and the values of its braces."""
    route, values = router.match(method, path)
    return route.template, values


@pytest.fixture
def router() -> Router:
    """One template of each kind, and a catch-all below a prefix."""
    router = Router()
    for template in ("a", "a/b", "a/{x}/c", "d/{path}", "d/e/{path}"):
        router.add("GET", template=template)(answering(template))
    router.add("POST", template="a")(answering("post"))
    return router


@pytest.mark.parametrize(
    ("path", "template", "values"),
    [
        ("a", "a", ()),
        ("a/b", "a/b", ()),
        ("a/1/c", "a/{x}/c", ("1",)),
        ("d/x/y", "d/{path}", ("x/y",)),
        ("d/", "d/{path}", ("",)),
        ("d/e/x", "d/e/{path}", ("x",)),
        ("d/e", "d/{path}", ("e",)),
    ],
)
def test_match(router: Router, path: str, template: str, values: tuple[str, ...]) -> None:
    """Exact ones first, then patterns, then the longest prefix."""
    assert routed(router, "GET", path) == (template, values)


@pytest.mark.parametrize("path", ["", "x", "d", "a//c", "a/1/d", "a/1/c/2"])
def test_no_match(router: Router, path: str) -> None:
    """An empty segment matches no brace."""
    with pytest.raises(NotFoundError):
        router.match("GET", path)


def test_the_wrong_method(router: Router) -> None:
    """The error says which ones are right."""
    with pytest.raises(MethodError) as caught:
        router.match("DELETE", "a")
    assert caught.value.details["allow"] == ["GET", "POST"]


def test_head_is_get(router: Router) -> None:
    """Where there is no route of its own."""
    assert routed(router, "HEAD", "a/b") == ("a/b", ())


def test_a_router_that_takes_everything() -> None:
    """A catch-all without a prefix comes last, and takes the empty path with an exact template."""
    router = Router()
    for template in ("{path}", "", "x/{path}"):
        router.add("GET", template=template)(answering(template))
    assert routed(router, "GET", "") == ("", ())
    assert routed(router, "GET", "y") == ("{path}", ("y",))
    assert routed(router, "GET", "y/z") == ("{path}", ("y/z",))
    assert routed(router, "GET", "x/z") == ("x/{path}", ("z",))


def test_one_router_of_several(router: Router) -> None:
    """All routes of the parts; their methods, templates and publicity stay."""
    other = Router()
    other.add("GET", "PUT", template="z", public=True)(answering("z"))
    whole = Router.merge(router, other)
    assert routed(whole, "POST", "a") == ("a", ())
    route, _ = whole.match("PUT", "z")
    assert route.public
    assert len(whole.routes()) == len(router.routes()) + 2


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("d/", ("d/{path}", 2)),
        ("d/x/", ("d/{path}", 2)),
        ("d/x/y/", ("d/{path}", 2)),
        ("d/e/", ("d/e/{path}", 4)),
        ("d/e/x/", ("d/e/{path}", 4)),
        ("d/f/", None),  # an exact one lies in it
        ("d/f/g/", ("d/{path}", 2)),
        ("x/", None),
        ("", None),
    ],
)
def test_the_route_of_a_folder(folder: str, found: tuple[str, int] | None) -> None:
    """Of all that lies in it, where it is one; what a path would be found by alone is the same."""
    router = Router()
    for template in ("d/{path}", "d/e/{path}", "d/f/g", "e", "d/f/"):
        router.add("GET", template=template)(answering(template))
    below = router.sole_route_below("GET", folder)
    assert (below and (below[0].template, below[1])) == found
    assert router.sole_route_below("POST", folder) is None
    if below is not None:
        path = f"{folder}z"
        assert router.match("GET", path) == (below[0], (path[below[1] :],))


def test_a_route_of_the_folder_itself_is_none_of_its_names() -> None:
    """It is in nobody's way."""
    router = Router()
    for template in ("", "{path}"):
        router.add("GET", template=template)(answering(template))
    below = router.sole_route_below("GET", "")
    assert below is not None
    assert (below[0].template, below[1]) == ("{path}", 0)


def test_patterns_are_asked_for_each_path(router: Router) -> None:
    """What they match lies anywhere."""
    assert router.sole_route_below("GET", "d/") is None
