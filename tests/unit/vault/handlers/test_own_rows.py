"""What every token may store has a pace: a row of a cubbyhole, a wrapped value."""

from typing import Any

from vault import operations
from vault.handlers.cubbyhole import CubbyholeHandlers


def test_each_row_that_any_token_may_make_is_paced() -> None:
    """The policy `default` allows both, so that nothing else holds anybody back."""
    nobody: Any = None
    handlers = CubbyholeHandlers(nobody).handlers()
    for operation in (operations.WRITE_CUBBYHOLE, operations.WRAP_VALUE):
        assert handlers[operation.name].is_self_service
