"""What became of agents over the period."""

from control.compliance.evidence.agent_history import CertificateUse

HOUR = 3600 * 10**9


def certificate(hours: int, revoked: int = 0) -> CertificateUse:
    """From 0 on."""
    told = {
        "generation": 1, "issuer": "i", "not_before": 0, "not_after": hours * HOUR,
        "revoked_at": revoked, "digest": "d",
    }  # fmt: skip
    return CertificateUse("v", "s", told)


def test_a_certificate_counts_until_it_ends_or_is_revoked() -> None:
    """And is short-lived up to two days."""
    assert certificate(24).ends_at == 24 * HOUR
    assert certificate(24, revoked=5).ends_at == 5
    assert (certificate(48).is_short_lived, certificate(49).is_short_lived) == (True, False)
    assert certificate(24).proof.vault == "v"
