"""An answer that waits behind a token: it ends the command, whatever that would do with it."""

from collections.abc import Callable
from typing import Any


class WrappedAnswerError(Exception):
    """The server has wrapped the answer, as `--wrap-ttl` asked."""

    def __init__(self, wrap: dict[str, Any], print_result: Callable[[Any], None]) -> None:
        super().__init__("the answer is wrapped")
        self._wrap = wrap
        self._print = print_result

    def show(self) -> None:
        """Print the token, and what is known of it."""
        self._print(self._wrap)
