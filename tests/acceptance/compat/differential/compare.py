"""Compare two answers field by field; what they may differ in is in `accepted.toml`.

Identifiers and tokens differ by chance. Each one of OpenBao belongs to one of Freehold: the pair is
bound where it is seen first, and has to be the same wherever either is seen again in the round.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from tests.acceptance.compat.differential.calls import NAME, Answer, Call

ACCEPTED_FILE: Final = Path(__file__).with_name("accepted.toml")
ABSENT: Final = "<absent>"
CLOCKS: Final = 120.0  # seconds; how far the same instant may be from the other one's
IDENTIFIERS: Final = frozenset(
    {
        "accessor", "client_token", "id", "uuid", "token", "wrapped_accessor", "secret_id",
        "secret_id_accessor", "role_id", "entity_id", "canonical_id", "mount_accessor",
        "token_accessor", "creator", "policies_from",
    }
)  # fmt: skip
SECONDS: Final = frozenset(
    {"ttl", "lease_duration", "creation_ttl", "secret_id_ttl", "creation_time", "last_renewal_time"}
)
UNORDERED: Final = frozenset(
    {"policies", "token_policies", "identity_policies", "member_entity_ids", "member_group_ids",
     "group_ids", "direct_group_ids", "parent_group_ids", "inherited_group_ids", "aliases"}
)  # fmt: skip
OWN: Final = frozenset(
    {"request_id", "running_plugin_version", "running_sha256", "plugin_version", "local",
     "creation_time_unix"}
)  # fmt: skip
"""Fields that say nothing that a client goes by."""
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_VOLATILE: Final = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|[sbr]\.[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{24,}|[a-z]+_[a-z-]*_?[0-9a-f]{8}(\.root)?"
)
_REFERENCE: Final = re.compile(r"\{\w+:[^}]*\}")
_WORDS: Final = re.compile(r"[0-9]+|[A-Za-z0-9_.-]{24,}|\"[^\"]*\\?\"(?=:)")
_NUMBER: Final = re.compile(r"\.\d+(?=\.|$)")


class Accepted(Struct, frozen=True, forbid_unknown_fields=True):
    """Regular expressions of a difference that is meant, each for the whole text.

    `request` is of `METHOD path`, `field` of a place as `body.data.keys.0`; `there` and `here` are
    of the JSON texts of the values.
    """

    reason: str
    request: str = ".*"
    field: str = ".*"
    there: str = ".*"
    here: str = ".*"

    def covers(self, found: "Difference") -> bool:
        """Whether this difference is one of these."""
        call = f"{found.call.method} {found.call.path}"
        return all(
            re.fullmatch(pattern, text, re.DOTALL) is not None
            for pattern, text in (
                (self.field, found.field),
                (self.request, call),
                (self.there, _text(found.there)),
                (self.here, _text(found.here)),
            )
        )


@dataclass(frozen=True)
class Difference:
    """One field of the answers to a call that is not the same."""

    call: Call
    field: str
    there: Any
    here: Any

    @property
    def kind(self) -> tuple[str, ...]:
        """What two differences with one cause usually share."""
        path = _REFERENCE.sub("ID", self.call.path)
        segments = [*path.split("/"), "", ""][:3]
        if segments[0].startswith(NAME):
            segments[2] = ""
        words = [_WORDS.sub("", _text(each))[:120] for each in (self.there, self.here)]
        return ("/".join(segments), unnumbered(self.field), *words)

    def describe(self) -> str:
        """The difference, as people read it."""
        return (
            f"{self.call.method} {self.call.path}: {self.field}\n"
            f"  OpenBao:  {_text(self.there)}\n  Freehold: {_text(self.here)}"
        )


def _text(value: Any) -> str:
    if value == ABSENT:
        return ABSENT
    return msgspec.json.encode(value).decode()


def accepted() -> list[Accepted]:
    """The reviewed list."""
    return msgspec.toml.decode(
        ACCEPTED_FILE.read_bytes(), type=dict[str, list[Accepted]], strict=True
    )["accepted"]


@dataclass
class Comparison:
    """The pairs of one round."""

    pairs: dict[str, str] = field(default_factory=dict)  # OpenBao's → Freehold's

    def __post_init__(self) -> None:
        self._back: dict[str, str] = {here: there for there, here in self.pairs.items()}

    def differences(self, call: Call, there: Answer, here: Answer) -> list[Difference]:
        """All of them; only the status where that differs."""
        if (there.status, here.status) == (200, 404) and self._lists_others(there.body):
            return []
        if there.status != here.status:
            both = [
                {"status": each.status} | ({"body": each.body} if each.status >= 300 else {})
                for each in (there, here)
            ]
            return [Difference(call, "status", *both)]
        found = [
            ("headers." + name, there.headers[name], here.headers[name])
            for name in there.headers
            if there.body is not None and there.headers[name] != here.headers[name]
        ]
        found += self._walk(there.body, here.body, "body", "")
        return [Difference(call, *each) for each in found]

    def _lists_others(self, body: Any) -> bool:
        """Whether a list has nothing of the round: what another one left behind."""
        data = body.get("data") if isinstance(body, dict) else None
        keys = data.get("keys") if isinstance(data, dict) else None
        return isinstance(keys, list) and not self._own_names(keys)

    def _walk(self, there: Any, here: Any, at: str, key: str) -> Iterator[tuple[str, Any, Any]]:
        if key in OWN and there not in (ABSENT, None) and here not in (ABSENT, None):
            return
        if isinstance(there, dict) and isinstance(here, dict):
            yield from self._walk_mappings(there, here, at)
        elif isinstance(there, list) and isinstance(here, list):
            yield from self._walk_lists(there, here, at, key)
        elif type(there) is not type(here):
            yield at, there, here
        elif isinstance(there, str):
            if not self._is_same_text(there, here, key):
                yield at, there, here
        elif there != here and not (
            key in SECONDS and min(there, here) > 0 and abs(there - here) <= CLOCKS
        ):
            yield at, there, here

    def _walk_lists(
        self, there: list[Any], here: list[Any], at: str, key: str
    ) -> Iterator[tuple[str, Any, Any]]:
        if key == "keys":
            there, here = self._own_names(there), self._own_names(self._as_there(here))
            if there != here:
                yield at, there, here
            return
        if key in UNORDERED and sorted(map(str, there)) == sorted(map(str, self._as_there(here))):
            return
        if len(there) != len(here):
            yield at, there, here
            return
        for number, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from self._walk(one, other, f"{at}.{number}", key)

    def _walk_mappings(
        self, there: dict[str, Any], here: dict[str, Any], at: str
    ) -> Iterator[tuple[str, Any, Any]]:
        if at == "body" and ("errors" in there) != ("errors" in here):
            yield at, there, here
            return
        if at.endswith("key_info"):
            here = dict(zip(self._as_there(list(here)), here.values(), strict=True))
            own = {*self._own_names(list(there)), *self._own_names(list(here))}
            there, here = ({k: each[k] for k in each if k in own} for each in (there, here))
        elif _is_mount_table(there) and _is_mount_table(here):
            there, here = (
                {k: each[k] for k in each if NAME in k or not k.endswith("/")}
                for each in (there, here)
            )
        for key in sorted(
            there.keys() | here.keys(), key=lambda key: key not in ("accessor", "id")
        ):
            yield from self._walk(there.get(key, ABSENT), here.get(key, ABSENT), f"{at}.{key}", key)

    def _as_there(self, names: list[Any]) -> list[Any]:
        """Freehold's identifiers as OpenBao's."""
        return [self._back.get(name, name) if isinstance(name, str) else name for name in names]

    def _own_names(self, names: list[Any]) -> list[str]:
        """Of a list of all there is: what is the round's own, in a fixed order."""
        return sorted(
            name
            for name in map(str, names)
            if NAME in name or name in self.pairs or not _is_volatile(name)
        )

    def _is_same_text(self, there: str, here: str, key: str) -> bool:
        if there == here and there not in self.pairs:
            return True
        if _INSTANT.fullmatch(there) and _INSTANT.fullmatch(here):
            one, other = map(datetime.fromisoformat, (there, here))
            return abs((one - other).total_seconds()) < CLOCKS
        if there in self.pairs or here in self._back:
            return self.pairs.get(there) == here
        if there and here and (key in IDENTIFIERS or _is_volatile(there)) and _is_volatile(here):
            self.pairs[there], self._back[here] = here, there
            return True
        for one, other in self.pairs.items():
            there = there.replace(one, other)
        there, here = (_INSTANT.sub("<instant>", text) for text in (there, here))
        return there == here


def _is_volatile(text: str) -> bool:
    return _VOLATILE.fullmatch(text) is not None


def _is_mount_table(found: dict[str, Any]) -> bool:
    return bool(found) and ("sys/" in found or "token/" in found)


def unnumbered(place: str) -> str:
    """A place without positions in lists."""
    return _NUMBER.sub(".N", place)
