"""What handlers give back."""

from vault.model.results import BrowserSession


def test_a_sessions_secret_is_in_no_log() -> None:
    """Wherever a session is printed."""
    made = BrowserSession(
        name="ada", policies=(), root=False, accessor="acc", created_at=1, expires_at=2, ends_at=3,
        idle=1, text="s.secret",
    )  # fmt: skip
    assert "s.secret" not in f"{made} {made!r}"
    assert "acc" in repr(made)
