"""Recovery codes."""

from control.authn.recovery import COUNT, digest, new_codes


def test_they_are_many_and_long() -> None:
    """80 bits each, none twice."""
    codes = new_codes()
    assert len(set(codes)) == COUNT
    assert all(len(code.replace("-", "")) == 16 for code in codes)


def test_typing_does_not_matter_and_the_account_does() -> None:
    """Case, spaces and hyphens are for people; a code of another account is another one."""
    assert digest("acme", "ann", "ABCD efgh-ijkl mnop") == digest("acme", "ann", "abcdefghijklmnop")
    assert digest("acme", "ann", "x") != digest("acme", "bob", "x")
