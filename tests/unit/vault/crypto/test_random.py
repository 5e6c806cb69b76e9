"""vault.crypto.random."""

from vault.crypto.random import random_bytes


def test_gives_as_many_bytes_as_asked_and_never_the_same() -> None:
    """Sizes are exact, and 1,000 draws of 16 bytes do not repeat."""
    assert [len(random_bytes(n)) for n in (0, 1, 12, 32)] == [0, 1, 12, 32]
    assert len({random_bytes(16) for _ in range(1000)}) == 1000
