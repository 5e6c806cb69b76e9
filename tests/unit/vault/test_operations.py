"""The list of all operations."""

from vault import operations
from vault.model.operation import OperationType


def test_each_name_is_of_one_operation() -> None:
    """A handler is found by the name, so two of one name would be run by one handler."""
    types = [one for one in vars(operations).values() if isinstance(one, OperationType)]
    assert types
    assert len({one.name for one in types}) == len(types)
