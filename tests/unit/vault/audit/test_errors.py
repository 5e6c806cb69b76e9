"""What the verifier says."""

from vault.audit.verify import BadLogError


def test_a_fault_says_where_and_what() -> None:
    """File, line and record number are there for programs and for people."""
    fault = BadLogError("audit.log", 3, 7, "torn")
    assert (fault.file, fault.line, fault.seq, fault.what) == ("audit.log", 3, 7, "torn")
    assert str(fault) == "audit.log, line 3, record 7: torn"
