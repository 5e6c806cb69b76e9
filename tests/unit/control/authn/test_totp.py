"""Codes by the standard's own vectors, each good once."""

import base64
from xml.etree import ElementTree as ET

import pytest

from control.authn.totp import matching_step, new_totp_secret, otpauth_uri, qr_code_svg
from protocols.instant import SECOND

SECRET = base64.b32encode(b"12345678901234567890").decode()  # RFC 6238, appendix B


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_vectors_of_rfc_6238(at: int, code: str) -> None:
    """The last six of its eight digits; one step early or late, not two; not a second time."""
    step = at // 30
    assert matching_step(SECRET, code, at * SECOND, -1) == step
    for aside in (-30, 30):
        assert matching_step(SECRET, code, (at + aside) * SECOND, -1) == step
    for aside in (-60, 60):
        assert matching_step(SECRET, code, (at + aside) * SECOND, -1) is None
    assert matching_step(SECRET, code, at * SECOND, step) is None
    assert matching_step(SECRET, code, at * SECOND, step - 1) == step


@pytest.mark.parametrize("code", ["", "28708", "2870822", "28 082", "٢٨٧٠٨٢", "-87082", "287081"])
def test_what_is_no_code(code: str) -> None:
    """Six ASCII digits, the right ones."""
    assert matching_step(SECRET, code, 59 * SECOND, 0) is None


def test_what_an_app_takes() -> None:
    """The link names account and issuer; the picture is an SVG without a script."""
    secret = new_totp_secret()
    assert len(base64.b32decode(secret)) == 20
    assert secret != new_totp_secret()
    link = otpauth_uri(secret, "acme/ann", "Freehold")
    assert link == f"otpauth://totp/Freehold:acme/ann?secret={secret}&issuer=Freehold"
    kind, _, data = qr_code_svg(link).partition(",")
    assert kind == "data:image/svg+xml;base64"
    root = ET.fromstring(base64.b64decode(data))  # noqa: S314  # made here
    assert {each.tag.rpartition("}")[2] for each in root.iter()} <= {"svg", "path", "g"}
