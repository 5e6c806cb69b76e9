"""The question to an identity provider: an AuthnRequest in a URL (SAML Bindings 2.0, 3.4)."""

import zlib
from base64 import b64encode
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from protocols.instant import rfc3339
from vault.authn.methods.saml.xml import ASSERTION, PROTOCOL

POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
_RAW_DEFLATE: Final = -15  # RFC 1951 without a header


def request_url(
    sso_url: str, *, request_id: str, issuer: str, acs_url: str, relay_state: str, now: int
) -> str:
    """Where the browser goes. `now`: Unix ns. What the URL has in its query already stays."""
    from xml.sax.saxutils import escape, quoteattr  # it loads a parser that is not used

    attributes = {
        "ID": request_id,
        "Version": "2.0",
        "IssueInstant": rfc3339(now - now % 10**9),
        "Destination": sso_url,
        "ProtocolBinding": POST,
        "AssertionConsumerServiceURL": acs_url,
    }
    written = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    document = (
        f'<samlp:AuthnRequest xmlns:samlp="{PROTOCOL}" {written}>'
        f'<saml:Issuer xmlns:saml="{ASSERTION}">{escape(issuer)}</saml:Issuer>'
        "</samlp:AuthnRequest>"
    )
    packer = zlib.compressobj(wbits=_RAW_DEFLATE)
    packed = packer.compress(document.encode()) + packer.flush()
    parts = urlsplit(sso_url)
    query = [
        *parse_qsl(parts.query, keep_blank_values=True),
        ("SAMLRequest", b64encode(packed).decode()),
        ("RelayState", relay_state),
    ]
    return parts._replace(query=urlencode(query)).geturl()
