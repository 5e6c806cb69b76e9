"""Somebody who was let in to a live stream, and whether he still stands."""

from contextlib import AbstractContextManager

import trio

from actors.world import World
from vault.authn.stream_registry import StreamRegistry
from vault.authn.tokens import Tokens
from vault.model.identity import Identity


class StreamSubscriber:
    """By a token. `identity` is who he was when it was last looked at."""

    def __init__(
        self, identity: Identity, tokens: Tokens, streams: StreamRegistry, world: World
    ) -> None:
        self.identity = identity
        self._tokens = tokens
        self._streams = streams
        self._world = world

    def register_stream(self) -> AbstractContextManager[trio.CancelScope]:
        """A scope that the revocation of his credential cancels."""
        return self._streams.open_stream(self.identity.credential)

    async def is_still_valid(self) -> bool:
        """Whether his token stands now, with the policies that it has now."""
        found = await self._tokens.identity_of(self.identity.credential)
        if found is not None:
            self.identity = found
        return found is not None
