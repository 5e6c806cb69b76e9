from control.ca.memory_store import MemoryCaTransaction
from tests.contract.control.test_ca_ledger import _token


def test_a_copy_does_not_share_its_rows() -> None:
    """Else a step that raises would leave something; the rest is the contract's."""
    first = MemoryCaTransaction()
    second = first.copy()
    second.put_token(_token(1))
    assert first.token(_token(1).hash) is None
