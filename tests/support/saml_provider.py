"""A SAML 2.0 identity provider: it reads requests, and signs answers as providers do.

Signatures are made by minisignxml, which shares no code with what verifies them here; forms that it
lacks (ECDSA, PSS, `InclusiveNamespaces`, SHA-1) are made here.
"""

import base64
import datetime as dt
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID
from lxml import etree

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of a library that it parses with
    import minisignxml.sign

PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
_DS = "http://www.w3.org/2000/09/xmldsig#"
_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha512": hashes.SHA512,
}  # fmt: skip
_DIGESTS = {"sha1": f"{_DS}sha1", "sha256": "http://www.w3.org/2001/04/xmlenc#sha256"}
_METHODS = {
    "rsa-sha1": f"{_DS}rsa-sha1",
    "rsa-sha256": f"{_MORE}rsa-sha256",
    "rsa-sha512": f"{_MORE}rsa-sha512",
    "ecdsa-sha256": f"{_MORE}ecdsa-sha256",
    "pss-sha256": "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
}
Signed = Literal["assertion", "response", "both", "none"]
Sign = Callable[[Any], bytes]


@dataclass
class Said:
    """What an answer says; tests change parts of it. Times in seconds from now; None: left out."""

    request_id: str
    acs_url: str
    audience: str | None
    subject: str = "ann"
    subject_format: str = PERSISTENT
    attributes: dict[str, list[str]] = field(default_factory=dict)
    issuer: str = ""
    recipient: str | None = ""
    destination: str | None = ""
    confirmed_request: str | None = ""
    confirmed_until: int | None = 300
    method: str = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
    not_before: int = -10
    not_on_or_after: int | None = 300
    session_until: int | None = 3600
    status: str = "urn:oasis:names:tc:SAML:2.0:status:Success"
    assertion_id: str = "_a1"
    condition: str = ""
    version: str = "2.0"


class SamlProvider:
    """With a key and a certificate of its own."""

    def __init__(
        self,
        entity_id: str = "https://idp.example/metadata",
        key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
        sso_url: str = "https://idp.example/sso?tenant=1",
    ) -> None:
        self.entity_id, self.sso_url = entity_id, sso_url
        self.key = key or rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
        now = dt.datetime.now(dt.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def metadata(self, *, use: str = ' use="signing"') -> str:
        """As its administrator hands it on."""
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"'
            f' entityID="{self.entity_id}"><md:IDPSSODescriptor'
            f' protocolSupportEnumeration="{PROTOCOL}"><md:KeyDescriptor{use}>'
            '<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>'
            f"<ds:X509Certificate>{_text(der)}</ds:X509Certificate>"
            "</ds:X509Data></ds:KeyInfo></md:KeyDescriptor><md:SingleSignOnService"
            ' Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"'
            f' Location="{self.sso_url}"/></md:IDPSSODescriptor></md:EntityDescriptor>'
        )

    def document(self, said: Said) -> Any:
        """The answer, not signed."""
        return etree.fromstring(_response(said, said.issuer or self.entity_id))

    def respond(self, said: Said, signed: Signed = "assertion", sign: Sign | None = None) -> str:
        """The answer as a browser posts it, in base64."""
        root = self.document(said)
        sign = sign or self.sign
        if signed in {"assertion", "both"}:
            root = etree.fromstring(sign(root.find(f"{{{ASSERTION}}}Assertion")))
        data = sign(root) if signed in {"response", "both"} else etree.tostring(root)
        return _text(data)

    def sign(self, element: Any) -> bytes:
        """The document of an element, with a signature over the element."""
        found: bytes = minisignxml.sign.sign(
            element=element, private_key=self.key, certificate=self.certificate, index=1
        )
        return found

    def sign_otherwise(
        self, algorithm: str = "rsa-sha256", digest: str = "sha256", prefixes: str = ""
    ) -> Sign:
        """As `sign`, in forms that it does not have. `prefixes`: of `InclusiveNamespaces`."""
        named = prefixes.split() or None

        def canonical(element: Any) -> bytes:
            # On its own: lxml copies what its parents declare.
            alone = etree.fromstring(etree.tostring(element, with_tail=False))
            written: bytes = etree.tostring(
                alone, method="c14n", exclusive=True, inclusive_ns_prefixes=named
            )
            return written

        def run(element: Any) -> bytes:
            hashed = hashes.Hash(_HASHES[digest]())
            hashed.update(canonical(element))
            inclusive = (
                f'<ec:InclusiveNamespaces xmlns:ec="{_EXCLUSIVE}" PrefixList="{prefixes}"/>'
                if prefixes
                else ""
            )
            info = (
                f'<ds:SignedInfo xmlns:ds="{_DS}"><ds:CanonicalizationMethod'
                f' Algorithm="{_EXCLUSIVE}"/><ds:SignatureMethod'
                f' Algorithm="{_METHODS[algorithm]}"/><ds:Reference URI="#{element.get("ID")}">'
                f'<ds:Transforms><ds:Transform Algorithm="{_DS}enveloped-signature"/>'
                f'<ds:Transform Algorithm="{_EXCLUSIVE}">{inclusive}</ds:Transform>'
                f'</ds:Transforms><ds:DigestMethod Algorithm="{_DIGESTS[digest]}"/>'
                f"<ds:DigestValue>{_text(hashed.finalize())}</ds:DigestValue></ds:Reference>"
                "</ds:SignedInfo>"
            )
            signed = etree.tostring(etree.fromstring(info), method="c14n", exclusive=True)
            value = self._signature(signed, _HASHES[algorithm.split("-")[1]](), algorithm)
            der = self.certificate.public_bytes(serialization.Encoding.DER)
            whole = (
                f'<ds:Signature xmlns:ds="{_DS}">{info}<ds:SignatureValue>{_text(value)}'
                "</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>"
                f"{_text(der)}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>"
            )
            element.insert(1, etree.fromstring(whole))
            found: bytes = etree.tostring(element.getroottree())
            return found

        return run

    def _signature(self, data: bytes, hashed: hashes.HashAlgorithm, algorithm: str) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            pss = padding.PSS(padding.MGF1(hashed), hashed.digest_size)
            return self.key.sign(
                data, pss if algorithm.startswith("pss") else padding.PKCS1v15(), hashed
            )
        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashed)))
        size = (self.key.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")


@dataclass(frozen=True)
class Question:
    """A request, as the provider reads it."""

    id: str
    issuer: str
    acs_url: str
    destination: str
    relay_state: str
    tenant: str


def read_question(url: str) -> Question:
    """What a browser is sent to the provider with."""
    query = parse_qs(urlsplit(url).query)
    packed = base64.b64decode(query["SAMLRequest"][0], validate=True)
    root = etree.fromstring(zlib.decompress(packed, -15))
    return Question(
        id=root.get("ID"),
        issuer=root.findtext(f"{{{ASSERTION}}}Issuer"),
        acs_url=root.get("AssertionConsumerServiceURL"),
        destination=root.get("Destination"),
        relay_state=query["RelayState"][0],
        tenant=query.get("tenant", [""])[0],
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _at(seconds: int) -> str:
    at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _attribute(name: str, value: str | int | None) -> str:
    return "" if value is None else f' {name}="{_at(value) if isinstance(value, int) else value}"'


def _response(said: Said, issuer: str) -> bytes:
    def given(value: str | None, usual: str) -> str | None:
        return usual if value == "" else value

    attributes = "".join(
        f'<saml:Attribute Name="{name}">'
        + "".join(
            f'<saml:AttributeValue xsi:type="xs:string">{value}</saml:AttributeValue>'
            for value in values
        )
        + "</saml:Attribute>"
        for name, values in said.attributes.items()
    )
    audience = (
        ""
        if said.audience is None
        else f"<saml:AudienceRestriction><saml:Audience>{said.audience}</saml:Audience>"
        "</saml:AudienceRestriction>"
    )
    statement = f"<saml:AttributeStatement>{attributes}</saml:AttributeStatement>"
    confirmation = (
        _attribute("InResponseTo", given(said.confirmed_request, said.request_id))
        + _attribute("Recipient", given(said.recipient, said.acs_url))
        + _attribute("NotOnOrAfter", said.confirmed_until)
    )
    return (
        f'<samlp:Response xmlns:samlp="{PROTOCOL}" xmlns:saml="{ASSERTION}"'
        ' xmlns:xs="http://www.w3.org/2001/XMLSchema" ID="_r1"'
        f' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" Version="{said.version}"'
        f' IssueInstant="{_at(0)}" InResponseTo="{said.request_id}"'
        f"{_attribute('Destination', given(said.destination, said.acs_url))}>"
        f"<saml:Issuer>{issuer}</saml:Issuer>"
        f'<samlp:Status><samlp:StatusCode Value="{said.status}"/></samlp:Status>'
        f'<saml:Assertion ID="{said.assertion_id}" Version="2.0" IssueInstant="{_at(0)}">'
        f"<saml:Issuer>{issuer}</saml:Issuer><saml:Subject>"
        f'<saml:NameID Format="{said.subject_format}">{said.subject}</saml:NameID>'
        f'<saml:SubjectConfirmation Method="{said.method}">'
        f"<saml:SubjectConfirmationData{confirmation}/></saml:SubjectConfirmation></saml:Subject>"
        f'<saml:Conditions NotBefore="{_at(said.not_before)}"'
        f"{_attribute('NotOnOrAfter', said.not_on_or_after)}>"
        f"{audience}{said.condition}</saml:Conditions>"
        f'<saml:AuthnStatement AuthnInstant="{_at(0)}"'
        f"{_attribute('SessionNotOnOrAfter', said.session_until)}><saml:AuthnContext/>"
        f"</saml:AuthnStatement>{statement if attributes else ''}</saml:Assertion></samlp:Response>"
    ).encode()
