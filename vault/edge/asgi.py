"""The agent's ASGI application: picks the dialect by the path and measures every request."""

from collections.abc import Sequence
from typing import Any

from actors.world import World
from vault.edge.dialect import Dialect
from vault.edge.reply import Send, send_reply
from vault.edge.request import Receive
from vault.metrics import Metrics


class Edge:
    """Dialects by prefix; the last one takes what no other does."""

    def __init__(self, dialects: Sequence[Dialect], metrics: Metrics, world: World) -> None:
        self._dialects = [(dialect.prefix.encode(), dialect) for dialect in dialects[:-1]]
        self._other = dialects[-1]
        self._metrics = metrics
        self._world = world

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = self._world.monotonic()
        path: bytes = scope["raw_path"]
        matching = (d for prefix, d in self._dialects if path.startswith(prefix))
        dialect = next(matching, self._other)
        reply, endpoint = await dialect.answer(scope, receive)
        await send_reply(send, reply)
        elapsed = self._world.monotonic() - started
        self._metrics.request(scope["method"], endpoint, elapsed)
