"""The metadata of an identity provider (SAML Metadata 2.0), as its administrator hands it on.

Whoever writes them vouches for them: a signature in them is not looked at.
"""

import textwrap
from typing import Any, Final

from msgspec import Struct

from vault.authn.methods.saml.xml import (
    METADATA,
    SIGNATURE,
    InvalidXmlError,
    children,
    parse_xml,
    text_of,
)

MAX_METADATA: Final = 256 << 10  # bytes
REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"


class ProviderMetadata(Struct, frozen=True, kw_only=True):
    """What is used of them. `certificates`: PEM."""

    entity_id: str
    sso_url: str
    certificates: str


def parse_metadata(text: str) -> ProviderMetadata:
    """Read the metadata of one provider. Raises `InvalidXmlError`."""
    root = parse_xml(text.strip().encode(), MAX_METADATA)
    if root.tag != f"{{{METADATA}}}EntityDescriptor":
        raise InvalidXmlError("it must be the EntityDescriptor of one provider")
    providers = children(root, METADATA, "IDPSSODescriptor")
    if len(providers) != 1:
        raise InvalidXmlError("it must have exactly one IDPSSODescriptor")
    urls = [
        str(each.get("Location", ""))
        for each in children(providers[0], METADATA, "SingleSignOnService")
        if each.get("Binding") == REDIRECT
    ]
    if not urls:
        raise InvalidXmlError("it has no SingleSignOnService with the redirect binding")
    found = [_pem(each) for each in children(providers[0], METADATA, "KeyDescriptor")]
    return ProviderMetadata(
        entity_id=str(root.get("entityID", "")),
        sso_url=urls[0],
        certificates="".join(filter(None, found)),
    )


def _pem(key: Any) -> str:
    """The certificate of a key that signs; empty for one that encrypts."""
    if key.get("use", "signing") != "signing":
        return ""
    found = key.findall(f".//{{{SIGNATURE}}}X509Certificate")
    return "".join(
        "-----BEGIN CERTIFICATE-----\n"
        + "\n".join(textwrap.wrap("".join(text_of(each).split()), 64))
        + "\n-----END CERTIFICATE-----\n"
        for each in found
    )
