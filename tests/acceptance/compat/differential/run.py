"""Send rounds to both servers, compare, and shorten what differs."""

import http.client
import itertools
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tests.acceptance.compat.differential.calls import Answer, Call, Session
from tests.acceptance.compat.differential.compare import (
    Accepted,
    Comparison,
    Difference,
    accepted,
)
from tests.acceptance.compat.servers import Server

FIRST: Final = Call(
    "POST", "auth/token/create", body={"display_name": "round"}, token="", name="root"
)
"""What a round's root token is made by; it is revoked with all that came of it."""


@dataclass
class Outcome:
    """What a round came to: how many calls were compared, and what was not accepted."""

    compared: int = 0
    differences: list[Difference] = field(default_factory=list)


class Fuzzer:
    """Both servers, and what they may differ in."""

    def __init__(
        self, openbao: Server, freehold: Server, *, accept: Sequence[Accepted] | None = None
    ) -> None:
        """`accept`: instead of the reviewed list."""
        self.servers = openbao, freehold
        self._numbers = itertools.count(secrets.randbelow(10**9))
        self._accepted = accepted() if accept is None else accept
        self.used: set[Accepted] = set()

    def play(self, calls: Sequence[Call]) -> Outcome:
        """Send a round. It ends where one server did what the other one refused."""
        name = f"fz{next(self._numbers):010d}"
        outcome = Outcome()
        sessions = [Session(server, name) for server in self.servers]
        try:
            for session in sessions:
                session.answers["root"] = session.send(_as_root(FIRST, session.server)).body
            comparison = Comparison()
            comparison.differences(FIRST, *(Answer(200, {}, s.answers["root"]) for s in sessions))
            for call in calls:
                there, here = (session.send(call) for session in sessions)
                outcome.compared += 1
                found = comparison.differences(call, there, here)
                outcome.differences += [each for each in found if not self._is_accepted(each)]
                only_reads = call.method in ("GET", "LIST") and not call.headers
                if (there.status < 300) != (here.status < 300) and not only_reads:
                    break
        finally:
            for session in sessions:
                with suppress(OSError, http.client.HTTPException):
                    _clean(session)
                session.close()
        return outcome

    def _is_accepted(self, difference: Difference) -> bool:
        for each in self._accepted:
            if each.covers(difference):
                self.used.add(each)
                return True
        return False

    def unused(self) -> list[Accepted]:
        """What is accepted and was not met."""
        return [each for each in self._accepted if each not in self.used]

    def shortened(self, calls: Sequence[Call], difference: Difference) -> list[Call]:
        """Fewer calls that still end in a difference of this kind."""

        def is_still(some: Sequence[Call]) -> bool:
            return any(each.kind == difference.kind for each in self.play(some).differences)

        kept = list(calls)
        size = max(len(kept) // 2, 1)
        while True:
            for begin in range(max(len(kept) - size, 0), -1, -size):
                fewer = kept[:begin] + kept[begin + size :]
                if fewer and is_still(fewer):
                    kept = fewer
            if size == 1:
                break
            size = max(size // 2, 1)
        for number, call in enumerate(kept):
            for simpler in _simpler(call):
                tried = [*kept[:number], simpler, *kept[number + 1 :]]
                if is_still(tried):
                    kept = tried
        return kept


def _simpler(call: Call) -> Iterator[Call]:
    """The same call without one of its fields."""
    if isinstance(call.body, dict):
        for name in call.body:
            fewer = {key: value for key, value in call.body.items() if key != name}
            yield msgspec.structs.replace(call, body=fewer)


def _as_root(call: Call, server: Server) -> Call:
    return Call(call.method, call.path, body=call.body, token=server.token, name=call.name)


def _clean(session: Session) -> None:
    """Remove what the round has made, so that lists stay short."""
    root = session.server.token

    def ask(method: str, path: str, body: Any = None) -> Any:
        return session.send(Call(method, path, body=body, token=root)).body

    for kind in ("mounts", "auth"):
        table = (ask("GET", f"sys/{kind}") or {}).get("data") or {}
        for path in table:
            if "{r}" in path:
                ask("DELETE", f"sys/{kind}/{path.rstrip('/')}")
    for listed in (
        "sys/policies/acl", "auth/token/roles", "identity/entity/name", "identity/group/name",
    ):  # fmt: skip
        keys = ((ask("LIST", listed) or {}).get("data") or {}).get("keys") or []
        for key in keys:
            if "{r}" in key:
                ask("DELETE", f"{listed}/{key}")
    token = session.filled("{root:auth.client_token}")
    ask("POST", "auth/token/revoke", {"token": token})
