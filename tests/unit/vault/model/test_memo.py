"""vault.model.memo: it holds so much; of more that is asked for in turn some is found."""

from vault.model.memo import ADMIT_ONE_IN, BoundedMemo


def test_it_holds_so_much_and_no_more() -> None:
    """What it has stays while it is full; nothing else is found."""
    memo = BoundedMemo[str, int](3)
    for number in range(10):
        memo.put(str(number), number)
        assert len(memo) <= 3
    assert [memo.get(str(number)) for number in range(5)] == [0, 1, 2, None, None]


def test_it_begins_anew_in_time() -> None:
    """What is asked for now has its place then, however long others were."""
    memo = BoundedMemo[int, int](3)
    for number in range(3 + 3 * ADMIT_ONE_IN):
        memo.put(number, number)
    assert not memo
    memo.put(1_000, 7)
    assert memo.get(1_000) == 7
    assert memo.get(0) is None
