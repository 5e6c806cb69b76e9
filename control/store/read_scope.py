"""The reader that a task reads for: readers share the database by organization and session.

It is a context variable, since a read is many calls below the request. Without one a read is the
control plane's own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from protocols.client_network import client_network, site_network

ORGANIZATION_PREFIX: Final = "org:"
SITE_PREFIX: Final = "site:"


class ReadScope(NamedTuple):
    """A key of the readers' `FairLimiter`. `bounded`: it is refused when too many reads wait."""

    group: str
    member: str
    bounded: bool = True


INTERNAL_SCOPE: Final = ReadScope("", "", bounded=False)
"""Jobs and agents' links: their number has a bound of its own."""
_current: Final = ContextVar("reader", default=INTERNAL_SCOPE)


def current_scope() -> ReadScope:
    """The reader of the running task."""
    return _current.get()


def anonymous_scope(ip: str) -> ReadScope:
    """An anonymous client: the clients of one site share its turns."""
    return ReadScope(SITE_PREFIX + site_network(ip), client_network(ip))


def session_scope(org: str, session: str) -> ReadScope:
    """The sessions of an organization share its turns."""
    return ReadScope(ORGANIZATION_PREFIX + org, session)


@contextmanager
def use_read_scope(scope: ReadScope) -> Iterator[None]:
    """Reads of this task, and of those that it starts, are for this reader within the block."""
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)
