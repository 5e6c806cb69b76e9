"""The built files, read once: type, caching, and the smaller form for browsers that take it."""

import gzip
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct

BUILT: Final = Path(__file__).parent / "dist"
ASSETS: Final = "/assets/"
"""Below it a name holds the hash of its content."""

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
"""What is served; a file of another type is none of ours."""
_WORTH: Final = 512  # bytes; a smaller file gains nothing from gzip
_FOREVER: Final = "public, max-age=31536000, immutable"
_A_WHILE: Final = "public, max-age=300"  # seconds: names that do not change with the content


class File(Struct, frozen=True):
    """One file as it is sent; `packed` is its gzip form, empty where that is no smaller."""

    content_type: str
    cache: str
    body: bytes
    packed: bytes


@cache
def read_files(folder: Path = BUILT) -> Mapping[str, File]:
    """Every file below `folder` by its path on the server, read once. Raises `OSError`."""
    return {
        "/" + path.relative_to(folder).as_posix(): _file(path, folder)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in TYPES
    }


def _file(path: Path, folder: Path) -> File:
    body = path.read_bytes()
    packed = gzip.compress(body, 9, mtime=0) if len(body) >= _WORTH else b""
    name = "/" + path.relative_to(folder).as_posix()
    return File(
        content_type=TYPES[path.suffix],
        cache=_cache(name),
        body=body,
        packed=packed if len(packed) < len(body) else b"",
    )


def _cache(name: str) -> str:
    """The page itself is asked for each time: it names the assets of its version."""
    if name.startswith(ASSETS):
        return _FOREVER
    return "no-store" if name.endswith(".html") else _A_WHILE
