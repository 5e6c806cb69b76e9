import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.pki.ceremony import cross_sign
from protocols.pki.errors import PinError
from protocols.pki.pin import format_pin, parse_pin, pin_matches, pin_of
from tests.unit.protocols.pki.samples import NOW, make_pki

A, B = make_pki("a"), make_pki("b")


@given(st.binary(min_size=32, max_size=32))
def test_a_pin_is_read_as_it_was_written(digest: bytes) -> None:
    """And has one spelling: the spare bits of the last digit are zero."""
    text = format_pin(digest)
    assert parse_pin(text) == digest
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for digit in set(digits) - {text[-1]}:
        try:
            assert parse_pin(text[:-1] + digit) != digest
        except PinError:
            continue


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "SHA256:" + "A" * 43,
        "sha1:" + "A" * 43,
        "sha256:" + "A" * 42,
        "sha256:" + "A" * 43 + "=",
        "sha256:" + "+" * 43,
        "sha256:" + "A" * 42 + "B",
        " sha256:" + "A" * 43,
        "sha256:" + "A" * 43 + "\n",
    ],
)
def test_any_other_text_is_no_pin(text: str) -> None:
    """Nothing is guessed: a wrong pin is told before anything is sent."""
    with pytest.raises(PinError, match="not a pin"):
        parse_pin(text)


def test_it_pins_the_key_and_no_other() -> None:
    """The root certified anew, or by another, keeps its pin."""
    digest = parse_pin(pin_of(A.root.certificate))
    assert pin_matches(A.root.certificate, digest)
    assert not pin_matches(B.root.certificate, digest)
    assert pin_matches(cross_sign(B.root, A.root.certificate, NOW), digest)
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") in pin_of(A.root.certificate)
