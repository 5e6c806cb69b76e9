"""Recovery codes."""

from control.authn.recovery_code import CODE_COUNT, new_recovery_codes, recovery_code_digest


def test_they_are_many_and_long() -> None:
    """80 bits each, none twice."""
    codes = new_recovery_codes()
    assert len(set(codes)) == CODE_COUNT
    assert all(len(code.replace("-", "")) == 16 for code in codes)


def test_typing_does_not_matter_and_the_account_does() -> None:
    """Case, spaces and hyphens are for people; a code of another account is another one."""
    assert recovery_code_digest("acme", "ann", "ABCD efgh-ijkl mnop") == recovery_code_digest(
        "acme", "ann", "abcdefghijklmnop"
    )
    assert recovery_code_digest("acme", "ann", "x") != recovery_code_digest("acme", "bob", "x")
