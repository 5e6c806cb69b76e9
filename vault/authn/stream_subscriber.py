"""The authenticated subscriber of a live stream, and whether the token is still valid."""

from contextlib import AbstractContextManager

import trio

from actors.world import World
from vault.authn.stream_registry import StreamRegistry
from vault.authn.tokens import Tokens
from vault.model.identity import Identity


class StreamSubscriber:
    """Authenticated by a token. `identity`: as of the last check."""

    def __init__(
        self, identity: Identity, tokens: Tokens, streams: StreamRegistry, world: World
    ) -> None:
        self.identity = identity
        self._tokens = tokens
        self._streams = streams
        self._world = world

    def register_stream(self) -> AbstractContextManager[trio.CancelScope]:
        """A cancel scope that the revocation of the credential cancels."""
        return self._streams.open_stream(self.identity.credential)

    async def is_still_valid(self) -> bool:
        """Whether the token is valid now, whoever may have revoked it; updates `identity`.

        Raises as `Store.catch_up`.
        """
        await self._tokens.catch_up()
        found = await self._tokens.identity_of(self.identity.credential)
        if found is not None:
            self.identity = found
        return found is not None
