"""What takes no capability: no such operation may add records without a pace, whatever it does."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

import vault.handlers
from tests.unit.vault.test_pipeline import Parts, op
from vault.authz.rate_limits import RateLimiter, TokenBuckets
from vault.authz.record_limits import FailureLimits, RecordLimits
from vault.errors import NotFoundError, VaultError
from vault.handlers.handler import Call, Handler, Handlers

BURST: Final = 3
TIMES: Final = 10 * BURST
PHASES: Final = 2  # records of a mutation

SHOWS_A_RIGHT: Final = "mount.preflight"
"""It succeeds only for a path below which a policy allows the caller something."""

LOGS_IN: Final = "auth.login"
"""It succeeds only for whoever shows a right credential, and what fails does so in step 1."""

ENDS_THE_CREDENTIAL: Final = "session.close"


class Anything:
    """Stands for whatever a table of handlers is made from; nothing of it is run."""

    def __getattr__(self, _name: str) -> object:
        return Anything()


def every_handler() -> Handlers:
    """Of all modules of `vault.handlers`."""
    found: Handlers = {}
    for module in pkgutil.iter_modules(vault.handlers.__path__, "vault.handlers."):
        for kind in vars(importlib.import_module(module.name)).values():
            if (
                isinstance(kind, type)
                and kind.__module__ == module.name
                and hasattr(kind, "handlers")
            ):
                found |= made(kind)
    return found


def made(kind: type[Any]) -> Handlers:
    """What a class of handlers serves."""
    needed = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    given = {one.name: Anything() for one in needed if one.init}
    table: Handlers = kind(**given).handlers()
    return table


UNGUARDED: Final = {
    name: handler for name, handler in every_handler().items() if handler.capability is None
}


CAN_SUCCEED: Final = {name for name, one in UNGUARDED.items() if not one.only_refuses}


async def fail(_: object) -> object:
    """What every handler can come to."""
    raise NotFoundError("gone", "gone")


class NothingFound(list[object]):
    """A result that tells nothing."""

    secrets: tuple[()] = ()


async def show_nothing(_: object) -> object:
    """What whoever has no rights gets."""
    return NothingFound()


async def records(name: str, run: Callable[[Any], Awaitable[object]]) -> int:
    """How many there are once `name` was asked for `TIMES` times by one caller."""
    parts = Parts()
    parts.failures = FailureLimits(TokenBuckets(1, BURST), TokenBuckets(10, BURST * 10), lambda: 0)
    parts.refusals = RecordLimits(TokenBuckets(1, BURST), TokenBuckets(10, BURST * 10), lambda: 0)
    parts.self_service = RateLimiter(TokenBuckets(1, BURST), lambda: 0)
    known = UNGUARDED[name]
    check = fail if known.precondition is not None and run is fail else None
    handler: Handler = dataclasses.replace(
        known, run=run, precondition=check, audit_request=None, audit_response=None,
        authenticate=None if known.authenticate is None else fail,
    )  # fmt: skip
    pipeline = parts.pipeline(op=handler)
    for _ in range(TIMES):
        try:
            await pipeline.run_operation(op())
        except VaultError:
            continue
    return len(parts.events)


def test_all_of_them_are_found() -> None:
    """Those that this is about, at the least."""
    assert {"mount.preflight", "session.close", "secret.list", "request.malformed"} <= set(
        UNGUARDED
    )
    assert len(every_handler()) > len(UNGUARDED) * 4


@pytest.mark.parametrize("name", sorted(UNGUARDED))
async def test_failures_have_a_pace(name: str) -> None:
    """What fails under no capability is a refusal: few have a record, and none an intent more."""
    assert await records(name, fail) <= BURST * (PHASES + 1)


@pytest.mark.parametrize(
    "name", sorted(CAN_SUCCEED - {SHOWS_A_RIGHT, ENDS_THE_CREDENTIAL, LOGS_IN})
)
async def test_successes_that_show_nothing_have_a_pace(name: str) -> None:
    """Each caller may have so many."""
    assert await records(name, show_nothing) <= BURST * (PHASES + 1)


async def test_what_has_no_right_to_a_session_is_refused_before_an_intent() -> None:
    """`precondition` raises before anything is on record but the refusal."""
    assert UNGUARDED[ENDS_THE_CREDENTIAL].precondition is not None
    parts = Parts()
    known = dataclasses.replace(UNGUARDED[ENDS_THE_CREDENTIAL], precondition=fail, run=unreached)
    with pytest.raises(NotFoundError):
        await parts.pipeline(op=known).run_operation(op())
    assert [(event.phase, event.code) for event in parts.events] == [("outcome", "gone")]


async def unreached(_: Call) -> object:
    """Must not be."""
    raise AssertionError
