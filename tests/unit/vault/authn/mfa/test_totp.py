"""Codes of authenticator apps: the vectors of RFC 6238, the window, and replay."""

import base64
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from protocols.instant import SECOND
from vault.authn.mfa.totp import (
    TotpParameters,
    encode_secret,
    matching_step,
    otpauth_url,
    qr_code_png,
)

SEED = b"1234567890"
KEYS = {
    "SHA1": SEED * 2,
    "SHA256": SEED * 3 + b"12",
    "SHA512": SEED * 6 + b"1234",
}
VECTORS = [  # RFC 6238, appendix B
    (59, "SHA1", "94287082"),
    (59, "SHA256", "46119246"),
    (59, "SHA512", "90693936"),
    (1111111109, "SHA1", "07081804"),
    (1111111109, "SHA256", "68084774"),
    (1111111109, "SHA512", "25091201"),
    (1111111111, "SHA1", "14050471"),
    (1111111111, "SHA256", "67062674"),
    (1111111111, "SHA512", "99943326"),
    (1234567890, "SHA1", "89005924"),
    (1234567890, "SHA256", "91819424"),
    (1234567890, "SHA512", "93441116"),
    (2000000000, "SHA1", "69279037"),
    (2000000000, "SHA256", "90698825"),
    (2000000000, "SHA512", "38618901"),
    (20000000000, "SHA1", "65353130"),
    (20000000000, "SHA256", "77737706"),
    (20000000000, "SHA512", "47863826"),
]


def step(code: str, at: int, *, last: int = 0, **more: object) -> int | None:
    """The step of a code at a second, of the key of SHA-1."""
    parameters = TotpParameters(**more)  # type: ignore[arg-type]
    secret = encode_secret(KEYS[parameters.algorithm])
    return matching_step(secret, parameters, code, now=at * SECOND, last_step=last)


@pytest.mark.parametrize(("at", "algorithm", "code"), VECTORS)
def test_rfc_6238(at: int, algorithm: str, code: str) -> None:
    """Each hash, to the last digit."""
    assert step(code, at, algorithm=algorithm, digits=8) == at // 30
    wrong = code[:-1] + str((int(code[-1]) + 1) % 10)
    assert step(wrong, at, algorithm=algorithm, digits=8) is None


def test_the_window_is_one_step_to_either_side() -> None:
    """And none without a skew."""
    now = 1_800_000_015
    codes = {n: pyotp.TOTP(encode_secret(KEYS["SHA1"])).at(now + 30 * n) for n in range(-2, 3)}
    counted = [n for n, code in codes.items() if step(code, now) == now // 30 + n]
    assert counted == [-1, 0, 1]
    assert [n for n, code in codes.items() if step(code, now, skew=0)] == [0]


def test_a_step_that_was_taken_is_over_with_those_before_it() -> None:
    """Neither the code again nor that of the step before."""
    now = 1_800_000_015
    app = pyotp.TOTP(encode_secret(KEYS["SHA1"]))
    current = now // 30
    assert step(app.at(now), now, last=current) is None
    assert step(app.at(now - 30), now, last=current) is None
    assert step(app.at(now + 30), now, last=current) == current + 1


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "12345a", "\uff11" * 6, "-12345", " 12345"]
)
def test_what_is_no_code(code: str) -> None:
    """Digits alone, in ASCII, and so many."""
    assert step(code, 1_800_000_000) is None


def test_the_url_is_what_apps_read() -> None:
    """Issuer and account in the label, the rest as fields; pyotp reads the same."""
    parameters = TotpParameters(algorithm="SHA256", digits=8, period=60)
    url = otpauth_url(
        "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", parameters, issuer="A & B", account="ann@x/y"
    )
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert parse_qs(parts.query)["issuer"] == ["A & B"]
    read = pyotp.parse_uri(url)
    assert isinstance(read, pyotp.TOTP)
    assert (read.digits, read.interval, read.secret) == (8, 60, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    assert base64.b64decode(qr_code_png(url, 200)).startswith(b"\x89PNG")
