"""`ResourcePath`: the one spelling of a name, for authorization *and* for storage.

A path that could be spelled in two ways is refused instead of repaired, because a repair that
authorization does and storage does not is how policies are bypassed (CVE-2026-3605,
CVE-2025-49830). There is no way to build a `ResourcePath` but to parse it.
"""

import re
import unicodedata
from typing import Final

from vault.errors import ValidationError
from vault.model.memo import BoundedMemo

MAX_BYTES: Final = 512  # of UTF-8; fits a key column of every database we mean to support
MAX_SEGMENTS: Final = 32  # the nesting depth bound of `security.md` (memory DoS)
RESERVED: Final = frozenset({"sys", "auth", "identity", "cubbyhole"})  # first segments of no secret
MAX_REMEMBERED: Final = 32_768  # names that are remembered: parsed, routed, decided on (decision 5)
_SHORT: Final = 128  # characters of a remembered name; callers can ask for any names
_SEGMENT: Final = r"[a-zA-Z0-9_-][a-zA-Z0-9_.-]*"
_ORDINARY: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,{MAX_SEGMENTS - 1}}}")


class ResourcePath(str):
    """A canonical relative path such as `secret/app/db`: NFC, no empty, `.` or `..` segment.

    It is a `str`, so that it can be a key without a conversion; only the `parse` methods make one.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> "ResourcePath":
        """Return the path, or raise `ValidationError` saying which rule `text` breaks."""
        known = _parsed.get(text)
        if known is None:
            known = _parse(text)
            if is_short(text):
                _parsed.put(text, known)
        return known

    @classmethod
    def parse_secret(cls, text: str) -> "ResourcePath":
        """As `parse`, for the name of a secret: it may not start with a reserved segment."""
        path = cls.parse(text)
        if path.partition("/")[0].casefold() in RESERVED:
            raise ValidationError(
                "path_reserved", "this first segment is reserved; choose another", field="path"
            )
        return path

    @classmethod
    def parse_folder(cls, text: str) -> "ResourcePath":
        """Return a folder: empty (everything), or a canonical path followed by one `/`."""
        return str.__new__(cls, f"{cls.parse(text.removesuffix('/'))}/" if text else "")


def is_short(text: str) -> bool:
    """Whether it takes few bytes, so that thirty thousand of them may be remembered."""
    return len(text) <= _SHORT and text.isascii()


def _parse(text: str) -> ResourcePath:
    # Nearly all names are of this form, which has no fault but its length: a tenth of the time.
    ordinary = len(text) <= MAX_BYTES and _ORDINARY.fullmatch(text)
    fault = None if ordinary else _fault(text)
    if fault:
        raise ValidationError("path_invalid", f"invalid path: {fault}", field="path")
    return str.__new__(ResourcePath, text)


_parsed: Final = BoundedMemo[str, ResourcePath](MAX_REMEMBERED)


def _fault(text: str) -> str | None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if not text:
        return "it is empty"
    if size > MAX_BYTES:
        return f"it is longer than {MAX_BYTES} bytes"
    if "%2f" in text.lower() or "%5c" in text.lower() or "\\" in text:
        return "encoded slashes and backslashes are not allowed"
    if any(unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Cn", "Co"} for c in text):
        return "control and invisible characters are not allowed"
    if not unicodedata.is_normalized("NFC", text):
        return "it is not in Unicode normal form NFC"
    segments = text.split("/")
    if len(segments) > MAX_SEGMENTS:
        return f"it has more than {MAX_SEGMENTS} segments"
    return next((fault for s in segments if (fault := _segment_fault(s))), None)


def _segment_fault(segment: str) -> str | None:
    if not segment:
        return "empty segments (a leading, trailing or double slash) are not allowed"
    if segment in {".", ".."}:
        return "'.' and '..' segments are not allowed"
    if segment != segment.strip():
        return "segments may not begin or end with a space"
    return None
