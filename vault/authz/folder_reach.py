"""Reach: may an identity do anything at all below a folder? Asked before its content is shown.

It looks at where rules allow, not at what and when: conditions and denials are not held against it,
so the answer is good for saying that a mount exists, and for nothing more.
"""

from bisect import bisect_left
from collections.abc import Iterable

from vault.authz.pattern import SEGMENT, Pattern


class FolderReach:
    """Patterns, filed so that only those with `+` are looked at one by one.

    There may be a thousand times as many of the others in the policies of one caller.
    """

    __slots__ = ("_longest", "_open", "_texts", "_wild")

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        every = list(patterns)
        plain = [pattern for pattern in every if not pattern.parts]
        self._texts = sorted({pattern.text for pattern in plain})
        self._open = frozenset(pattern.text for pattern in plain if pattern.open_ended)
        self._longest = max(map(len, self._open), default=-1)
        self._wild = tuple(pattern for pattern in every if pattern.parts)

    def meets_folder(self, folder: str) -> bool:
        """Say whether one of them does, as the function of this name has it."""
        place = bisect_left(self._texts, folder)
        if place < len(self._texts) and self._texts[place].startswith(folder):
            return True
        ends = range(min(len(folder), self._longest) + 1)
        if any(folder[:end] in self._open for end in ends):
            return True
        return any(pattern_meets_folder(pattern, folder) for pattern in self._wild)


def pattern_meets_folder(pattern: Pattern, folder: str) -> bool:
    """Say whether the pattern covers any path that begins with `folder`."""
    parts = pattern.parts or tuple(pattern.text.split("/"))
    segments = folder.split("/")[:-1]
    last = len(parts) - 1
    for place, have in enumerate(segments):
        if place == last:
            return pattern.open_ended and have.startswith(parts[last])
        if parts[place] not in {have, SEGMENT}:
            return False
    return True
