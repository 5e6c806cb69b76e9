"""For whom the store is read: what shares the readers among organizations and sessions.

It is a context variable, since a read is many calls below the request that it is for. Whatever
says nothing reads for the control plane itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from protocols.client import client_of, site_of

SIGNED_IN: Final = "org:"
STRANGERS: Final = "site:"


class Reader(NamedTuple):
    """A key of the readers' `FairLimiter`. `bounded`: it is refused when too many reads wait."""

    group: str
    member: str
    bounded: bool = True


ITSELF: Final = Reader("", "", bounded=False)
"""Jobs and agents' links: their number has a bound of its own."""
_current: Final = ContextVar("reader", default=ITSELF)


def current() -> Reader:
    """For whom the running task reads."""
    return _current.get()


def stranger(ip: str) -> Reader:
    """Somebody who is not signed in: the clients of one site share its turns."""
    return Reader(STRANGERS + site_of(ip), client_of(ip))


def signed_in(org: str, session: str) -> Reader:
    """The sessions of an organization share its turns."""
    return Reader(SIGNED_IN + org, session)


@contextmanager
def reading_for(reader: Reader) -> Iterator[None]:
    """Reads of this task, and of those that it starts, are for this reader within the block."""
    token = _current.set(reader)
    try:
        yield
    finally:
        _current.reset(token)
