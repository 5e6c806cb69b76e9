"""Whose fault it was."""

from protocols.link.errors import (
    Fault,
    LocalFaultError,
    OutboxRolledBackError,
    RemoteFaultError,
    TransportError,
)


def test_a_fault_is_the_peers_or_ours_never_both():
    """An owner can tell by type whom to report."""
    assert not issubclass(RemoteFaultError, LocalFaultError)
    assert not issubclass(LocalFaultError, RemoteFaultError)
    assert issubclass(OutboxRolledBackError, LocalFaultError)


def test_an_error_says_its_stable_word_first():
    """Logs and counters find the word without parsing the sentence."""
    assert str(RemoteFaultError(Fault.GAP, "ids are missing")) == "gap: ids are missing"
    assert str(TransportError("slow", "the peer does not read")) == "slow: the peer does not read"
