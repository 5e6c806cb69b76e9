"""Live streams by credential, so that a revocation ends what it could no longer begin."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

MAX_REMEMBERED: Final = 10_000  # revocations; a stream registers within moments of its request


class StreamRegistry:
    """The open streams of each credential. A revoked credential's are cancelled."""

    def __init__(self) -> None:
        self._open: dict[str, set[trio.CancelScope]] = {}
        self._revoked: dict[str, None] = {}

    @contextmanager
    def open_stream(self, credential: str) -> Iterator[trio.CancelScope]:
        """Run a stream under a scope that the credential's revocation cancels.

        A credential revoked between its authentication and here is cut at once. Afterwards
        `scope.cancelled_caught` tells a cut stream from one that ended.
        """
        with trio.CancelScope() as scope:
            if credential in self._revoked:
                scope.cancel()
            scopes = self._open.setdefault(credential, set())
            scopes.add(scope)
            try:
                yield scope
            finally:
                scopes.discard(scope)
                if not scopes and self._open.get(credential) is scopes:
                    del self._open[credential]

    def credentials(self) -> tuple[str, ...]:
        """Those that have open streams."""
        return tuple(self._open)

    def cancel_streams(self, credentials: Iterable[str]) -> None:
        """Cut the streams of these credentials, which are revoked already."""
        for credential in credentials:
            self._revoked.pop(credential, None)
            self._revoked[credential] = None
            for scope in self._open.get(credential, ()):
                scope.cancel()
        while len(self._revoked) > MAX_REMEMBERED:
            del self._revoked[next(iter(self._revoked))]

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))
