"""`list_scan_response_keys_filter_path`: which entries of a list a caller is shown.

Each is shown whose path, made from the template, the caller may read or list. Of Go's templates the
forms are served that its documentation uses: text, `{{ .path }}` and `{{ .key }}`.
"""

import re
from typing import Final

from msgspec import Struct

_ACTION: Final = re.compile(r"\{\{-?\s*\.(path|key)\s*-?\}\}")


class ListFilter(Struct, frozen=True, gc=False):
    """A template: text, and where the list's path and the entry's name come."""

    parts: tuple[str, ...]  # text and `path` or `key` in turn

    def path_of(self, path: str, key: str) -> str:
        """The path that decides about the entry `key` of the list at `path`."""
        values = {"path": path, "key": key}
        return "".join(values[part] if index % 2 else part for index, part in enumerate(self.parts))


def parse_list_filter(text: str) -> ListFilter:
    """Raises `ValueError`."""
    parts = tuple(_ACTION.split(text))
    if any("{{" in part or "}}" in part for part in parts[::2]):
        raise ValueError("only {{ .path }} and {{ .key }} are supported")
    if "key" not in parts[1::2]:
        raise ValueError("resulted in same path for two different keys: use {{ .key }}")
    return ListFilter(parts)
