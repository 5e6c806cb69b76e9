"""Lists that the agent hands out page by page."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ui.cli.client import ApiClient


def fetch_pages(
    client: "ApiClient",
    path: str,
    field: str,
    query: dict[str, Any] | None = None,
    *,
    most: int = 0,
) -> Iterator[dict[str, Any]]:
    """The items under `field` of each page until there is no more, or `most` (0: all of them)."""
    asked, left = dict(query or {}), most
    while True:
        page = client.call("GET", path, query=asked)
        items = page[field]
        yield from items[:left] if most else items
        left -= len(items)
        if not page["cursor"] or (most and left <= 0):
            return
        asked["cursor"] = page["cursor"]
