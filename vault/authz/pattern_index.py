"""Patterns filed so that the cost of a path is that of how they are written, not of how many.

Literal paths are in a map; open-ended ones in a map by prefix, which is asked once for each length
in use; those with `+` in a map by their text, which is asked once for each form in use: how many
segments there are, and which of them are `+`. A path that has these segments replaced by `+` is
then the text of the pattern.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, Generic, NamedTuple, TypeVar

from msgspec import Struct

from vault.authz.pattern import SEGMENT, Pattern

K = TypeVar("K")
T = TypeVar("T")

_CLOSED: Final = -1


class WildcardForm(NamedTuple):
    """How a pattern with `+` is written."""

    segments: int
    tail: int  # letters of the last segment, of an open-ended one
    wild: tuple[int, ...]  # which segments are `+`


class PatternIndex(Struct, Generic[T], frozen=True):
    """What was filed under patterns."""

    exact: dict[str, tuple[T, ...]]
    lengths: tuple[int, ...]
    prefixes: dict[str, tuple[T, ...]]
    exact_forms: dict[
        int, tuple[WildcardForm, ...]
    ]  # of patterns that are not open-ended, by segments
    wildcard_exact: dict[str, tuple[T, ...]]
    prefix_forms: tuple[WildcardForm, ...]  # the shortest first
    wildcard_prefixes: dict[str, tuple[T, ...]]
    size: int  # how many things under how many patterns
    empty_segments: bool = False  # `a/+` covers the folder `a/`, too

    def matching(self, path: str) -> Iterator[T]:
        """Yield what is filed under a pattern that covers `path`; it may come more than once."""
        yield from self.exact.get(path, ())
        size = len(path)
        for length in self.lengths:
            if length > size:
                break
            yield from self.prefixes.get(path[:length], ())
        if self.exact_forms or self.prefix_forms:
            yield from self._matching_wildcards(path)

    def covers(self, path: str) -> bool:
        """Say whether one of the patterns covers `path`."""
        return next((True for _ in self.matching(path)), False)

    def _matching_wildcards(self, path: str) -> Iterator[T]:
        segments = path.split("/")
        size = len(segments)
        if segments[-1] or self.empty_segments:  # else only an open end covers a folder's end
            for form in self.exact_forms.get(size, ()):
                yield from self.wildcard_exact.get(_text(segments, form), ())
        for form in self.prefix_forms:
            if form.segments > size:
                break
            yield from self.wildcard_prefixes.get(_text(segments, form), ())


def build_pattern_index(
    entries: Iterable[tuple[Pattern, T]], *, empty_segments: bool = False
) -> PatternIndex[T]:
    """File things under their patterns."""
    exact: defaultdict[str, list[T]] = defaultdict(list)
    prefixes: defaultdict[str, list[T]] = defaultdict(list)
    closed: defaultdict[str, list[T]] = defaultdict(list)
    opened: defaultdict[str, list[T]] = defaultdict(list)
    forms: set[WildcardForm] = set()
    size = 0
    for pattern, filed in entries:
        size += 1
        if pattern.parts:
            forms.add(_form(pattern))
            (opened if pattern.open_ended else closed)[pattern.text].append(filed)
        else:
            (prefixes if pattern.open_ended else exact)[pattern.text].append(filed)
    by_size: defaultdict[int, list[WildcardForm]] = defaultdict(list)
    for form in forms:
        if form.tail == _CLOSED:
            by_size[form.segments].append(form)
    return PatternIndex(
        exact=_freeze(exact),
        lengths=tuple(sorted({len(prefix) for prefix in prefixes})),
        prefixes=_freeze(prefixes),
        exact_forms=_freeze(by_size),
        wildcard_exact=_freeze(closed),
        prefix_forms=tuple(sorted(form for form in forms if form.tail != _CLOSED)),
        wildcard_prefixes=_freeze(opened),
        size=size,
        empty_segments=empty_segments,
    )


def _form(pattern: Pattern) -> WildcardForm:
    """The last segment of an open end is literal, even if it is a plus."""
    parts = pattern.parts[:-1] if pattern.open_ended else pattern.parts
    return WildcardForm(
        segments=len(pattern.parts),
        tail=len(pattern.parts[-1]) if pattern.open_ended else _CLOSED,
        wild=tuple(place for place, part in enumerate(parts) if part == SEGMENT),
    )


def _text(segments: list[str], form: WildcardForm) -> str:
    """The text of the one pattern of this form that could cover a path of these segments."""
    asked = segments[: form.segments]
    for place in form.wild:
        asked[place] = SEGMENT
    if form.tail != _CLOSED:
        asked[-1] = asked[-1][: form.tail]
    return "/".join(asked)


def _freeze(lists: dict[K, list[T]]) -> dict[K, tuple[T, ...]]:
    return {key: tuple(found) for key, found in lists.items()}
