"""Tests of what proves who somebody is: here the link of an invitation."""

from urllib.parse import urlsplit

from control.model.identity import invitation_url


def test_a_link_sends_no_secret() -> None:
    """It leads to our origin; the secret is where no browser sends it from."""
    parts = urlsplit(invitation_url("https://plane.example", "fhi_x"))
    assert (parts.netloc, parts.path, parts.query) == ("plane.example", "/", "")
    assert parts.fragment == "invitation=fhi_x"
