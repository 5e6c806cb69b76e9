"""The answer of an identity provider (SAML 2.0): who it says somebody is, to us, for this request.

Attacks on SAML show one element to what verifies and another to what reads. So there are two walls.
The first is the form: an answer has one Response, one Assertion directly in it, no encrypted part,
and signatures only as direct children of these two, each over its parent. Whatever moves, wraps or
doubles an element has another form. The second is that only the bytes that a pinned certificate of
the provider has signed are read, parsed anew.
(SAML Core 2.0, 2 and 5; SAML Profiles 2.0, 4.1.4; XML Signature Syntax 1.1; Somorovsky et al., "On
Breaking SAML", 2012.)
"""

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from vault.authn.methods.saml.xml import (
    ASSERTION,
    PROTOCOL,
    SIGNATURE,
    InvalidXmlError,
    children,
    local_name,
    only_child,
    parse_xml,
    text_of,
)

if TYPE_CHECKING:
    from protocols.pki.certificates import Certificate

MAX_RESPONSE: Final = 128 << 10  # bytes of XML
MAX_ENCODED: Final = 192 << 10  # characters: base64 with line breaks
MAX_ATTRIBUTES: Final = 200
MAX_ATTRIBUTE_VALUES: Final = 1000  # of all attributes together
MAX_TEXT: Final = 2048  # characters of a value
SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
TRANSIENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
_EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_ENVELOPED: Final = SIGNATURE + "enveloped-signature"
_TRANSFORMS: Final = frozenset({_ENVELOPED, _EXCLUSIVE})
_CONDITIONS: Final = frozenset({"AudienceRestriction", "OneTimeUse", "ProxyRestriction"})
_ID_NAMES: Final = frozenset({"id"})  # in lower case: whatever a library may take for an id
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)


class InvalidResponseError(Exception):
    """An answer that does not count. `reason` is one of our texts."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class ExpectedResponse:
    """What an answer must say. `leeway`: seconds that clocks may differ.

    `assertion_signed`, `response_signed`: which of the two must be signed itself.
    """

    request_id: str
    acs_url: str
    entity_id: str
    idp_entity_id: str
    certificates: tuple["Certificate", ...]
    leeway: int = 0
    assertion_signed: bool = False
    response_signed: bool = False


class VerifiedAssertion(Struct, frozen=True, kw_only=True):
    """What the provider has signed. `ends_at`: Unix seconds, when it cannot be shown any more."""

    id: str
    subject: str
    subject_format: str
    attributes: dict[str, tuple[str, ...]]
    ends_at: int


def verify_response(encoded: str, expected: ExpectedResponse, now: int) -> VerifiedAssertion:
    """What an answer (base64) says. `now`: Unix seconds. Raises `InvalidResponseError`."""
    try:
        root = parse_xml(_decoded(encoded), MAX_RESPONSE)
        assertion = _check_form(root)
        response, read = _signed_parts(root, assertion, expected, now)
        _check_response(response, expected, signed=response is not root)
        return _check_assertion(read, expected, now)
    except InvalidXmlError as error:
        raise InvalidResponseError(error.reason) from None


def _decoded(encoded: str) -> bytes:
    if len(encoded) > MAX_ENCODED:
        raise InvalidResponseError("it is too large")
    try:
        return b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidResponseError("it is not base64") from None


def _check_form(root: Any) -> Any:
    """The one assertion. Raises `InvalidResponseError` for any other form than the plain one."""
    if root.tag != f"{{{PROTOCOL}}}Response":
        raise InvalidResponseError("it is not a SAML 2.0 Response")
    everything = list(root.iter())
    if any(local_name(each).startswith("Encrypted") for each in everything):
        raise InvalidResponseError(
            "it is encrypted: turn off the encryption of assertions at the provider; TLS protects "
            "them on their way"
        )
    names = [local_name(each) for each in everything]
    assertions = children(root, ASSERTION, "Assertion")
    if names.count("Response") != 1 or names.count("Assertion") > 1:
        raise InvalidResponseError("it has more than one Response or Assertion")
    if not assertions:
        if not names.count("Assertion"):
            _check_status(root)  # most often it is a refusal
        raise InvalidResponseError("it has no Assertion where one must be")
    _check_ids(everything)
    signatures = [each for each in everything if local_name(each) == "Signature"]
    for owner in (root, assertions[0]):
        own = [each for each in signatures if each.getparent() is owner]
        if len(own) > 1:
            raise InvalidResponseError("it is signed twice in one place")
        for signature in own:
            _check_signature_form(signature, owner)
            signatures.remove(signature)
    if signatures:
        raise InvalidResponseError("it has a signature where none belongs")
    return assertions[0]


def _check_ids(everything: list[Any]) -> None:
    """Refuse an id that two elements have: a signature could be over either.

    Raises `InvalidResponseError`.
    """
    found = [
        value
        for each in everything
        for name, value in each.attrib.items()
        if str(name).rpartition("}")[2].lower() in _ID_NAMES
    ]
    if len(set(found)) != len(found):
        raise InvalidResponseError("it has the same ID twice")


def _check_signature_form(signature: Any, owner: Any) -> None:
    """Require a signature over its whole parent by the usual transforms.

    Raises `InvalidResponseError`.
    """
    if signature.tag != f"{{{SIGNATURE}}}Signature" or children(signature, SIGNATURE, "Object"):
        raise InvalidResponseError("it has a signature of an unusual form")
    info = only_child(signature, SIGNATURE, "SignedInfo")
    method = only_child(info, SIGNATURE, "CanonicalizationMethod").get("Algorithm")
    reference = only_child(info, SIGNATURE, "Reference")
    steps = children(only_child(reference, SIGNATURE, "Transforms"), SIGNATURE, "Transform")
    if method != _EXCLUSIVE or not {each.get("Algorithm") for each in steps} <= _TRANSFORMS:
        raise InvalidResponseError("its signature has transforms that are not taken")
    wanted = owner.get("ID")
    if not wanted or reference.get("URI") != f"#{wanted}":
        raise InvalidResponseError("its signature is over something else")


def _signed_parts(
    root: Any, assertion: Any, expected: ExpectedResponse, now: int
) -> tuple[Any, Any]:
    """Response and assertion; the assertion as it was signed, the response if it was."""
    root_signed = bool(children(root, SIGNATURE, "Signature"))
    own_signed = bool(children(assertion, SIGNATURE, "Signature"))
    if not root_signed and not own_signed:
        raise InvalidResponseError("it is not signed")
    if (expected.response_signed and not root_signed) or (
        expected.assertion_signed and not own_signed
    ):
        raise InvalidResponseError("the part of it that has to be signed is not")
    response = _verified(root, expected, now) if root_signed else root
    if own_signed:
        return response, _verified(assertion, expected, now)
    return response, only_child(response, ASSERTION, "Assertion")


def _verified(element: Any, expected: ExpectedResponse, now: int) -> Any:
    """The element from the bytes that were signed. Raises `InvalidResponseError`."""
    from lxml import etree
    from signxml.algorithms import DigestAlgorithm, SignatureMethod
    from signxml.exceptions import InvalidCertificate
    from signxml.verifier import SignatureConfiguration, XMLVerifier

    methods = frozenset({
        SignatureMethod.RSA_SHA256, SignatureMethod.RSA_SHA384, SignatureMethod.RSA_SHA512,
        SignatureMethod.ECDSA_SHA256, SignatureMethod.ECDSA_SHA384, SignatureMethod.ECDSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1, SignatureMethod.SHA384_RSA_MGF1,
        SignatureMethod.SHA512_RSA_MGF1,
    })  # fmt: skip
    digests = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
    _check_algorithms(element, {each.value for each in methods}, {each.value for each in digests})
    config = SignatureConfiguration(
        location="./",
        signature_methods=methods,
        digest_algorithms=digests,
        verification_time=datetime.fromtimestamp(now, UTC),
    )
    alone = etree.tostring(element, with_tail=False)
    expired = False
    for certificate in expected.certificates:
        try:
            found: Any = XMLVerifier().verify(
                alone, x509_cert=certificate, expect_config=config, id_attribute="ID"
            )
        except InvalidCertificate:
            expired = True
        except Exception:  # noqa: BLE001, S112  # whatever is wrong with the bytes of a stranger
            continue
        else:
            signed = parse_xml(found.signed_data, MAX_RESPONSE)
            if signed.tag == element.tag and signed.get("ID") == element.get("ID"):
                return signed
    if expired:
        raise InvalidResponseError(
            "the provider's certificate is not valid now: write the one that it signs with to "
            "idp_cert"
        )
    raise InvalidResponseError("its signature is not by a certificate of the provider")


def _check_algorithms(element: Any, methods: set[str], digests: set[str]) -> None:
    info = only_child(only_child(element, SIGNATURE, "Signature"), SIGNATURE, "SignedInfo")
    method = only_child(info, SIGNATURE, "SignatureMethod").get("Algorithm")
    reference = only_child(info, SIGNATURE, "Reference")
    digest = only_child(reference, SIGNATURE, "DigestMethod").get("Algorithm")
    if method not in methods or digest not in digests:
        raise InvalidResponseError(
            "it is signed with an algorithm that is not taken: have the provider use SHA-256"
        )


def _check_response(response: Any, expected: ExpectedResponse, *, signed: bool) -> None:
    if response.get("Version") != "2.0":
        raise InvalidResponseError("it is of another version than SAML 2.0")
    _check_status(response)
    for issuer in children(response, ASSERTION, "Issuer"):
        _check_issuer(issuer, expected)
    if response.get("InResponseTo") != expected.request_id:
        raise InvalidResponseError("it answers another request (InResponseTo)")
    destination = response.get("Destination")
    if destination != expected.acs_url and (destination is not None or signed):
        raise InvalidResponseError("it is for another address (Destination)")


def _check_status(response: Any) -> None:
    status = only_child(response, PROTOCOL, "Status")
    if only_child(status, PROTOCOL, "StatusCode").get("Value") != SUCCESS:
        raise InvalidResponseError("the provider has not let them in: see what it says")


def _check_issuer(issuer: Any, expected: ExpectedResponse) -> None:
    if text_of(issuer) != expected.idp_entity_id:
        raise InvalidResponseError("its issuer is another one than idp_entity_id")


def _check_assertion(assertion: Any, expected: ExpectedResponse, now: int) -> VerifiedAssertion:
    if assertion.get("Version") != "2.0" or not assertion.get("ID"):
        raise InvalidResponseError("its assertion is of another version than SAML 2.0")
    _check_issuer(only_child(assertion, ASSERTION, "Issuer"), expected)
    end = _check_conditions(only_child(assertion, ASSERTION, "Conditions"), expected, now)
    subject = only_child(assertion, ASSERTION, "Subject")
    name = only_child(subject, ASSERTION, "NameID")
    confirmed = _check_confirmation(subject, expected, now)
    statements = children(assertion, ASSERTION, "AuthnStatement")
    if not statements:
        raise InvalidResponseError("it does not say that somebody logged in (AuthnStatement)")
    for each in statements:
        session = each.get("SessionNotOnOrAfter")
        if session is not None and _seconds(session) + expected.leeway <= now:
            raise InvalidResponseError("the provider's session is over (SessionNotOnOrAfter)")
    return VerifiedAssertion(
        id=str(assertion.get("ID")),
        subject=_value(name),
        subject_format=str(name.get("Format", "")),
        attributes=_attributes(assertion),
        ends_at=min(end, confirmed) + expected.leeway,
    )


def _check_conditions(conditions: Any, expected: ExpectedResponse, now: int) -> int:
    """Check the conditions; returns when they end (Unix seconds).

    Raises `InvalidResponseError`.
    """
    if any(local_name(each) not in _CONDITIONS for each in conditions):
        raise InvalidResponseError("it has a condition that is not known here")
    end = _check_period(conditions, expected, now, what="Conditions")
    audiences = children(conditions, ASSERTION, "AudienceRestriction")
    if not audiences:
        raise InvalidResponseError("it does not say for whom it is (Audience)")
    for each in audiences:
        named = [text_of(one) for one in children(each, ASSERTION, "Audience")]
        if expected.entity_id not in named:
            raise InvalidResponseError("it is for another audience than entity_id")
    return end


def _check_confirmation(subject: Any, expected: ExpectedResponse, now: int) -> int:
    """One of them must be for whoever brings it, here, for this request. Returns its end."""
    error = InvalidResponseError("it does not say who may bring it (SubjectConfirmation)")
    for each in children(subject, ASSERTION, "SubjectConfirmation"):
        if each.get("Method") != BEARER:
            continue
        try:
            return _confirmed_until(each, expected, now)
        except InvalidResponseError as failed:
            error = failed
    raise error


def _confirmed_until(confirmation: Any, expected: ExpectedResponse, now: int) -> int:
    data = only_child(confirmation, ASSERTION, "SubjectConfirmationData")
    if data.get("Recipient") != expected.acs_url:
        raise InvalidResponseError("it is for another address (Recipient)")
    if data.get("InResponseTo") != expected.request_id:
        raise InvalidResponseError("it answers another request (InResponseTo)")
    return _check_period(data, expected, now, what="SubjectConfirmationData")


def _check_period(element: Any, expected: ExpectedResponse, now: int, *, what: str) -> int:
    """Check the period of an element; returns its end (Unix seconds), which it must have.

    Raises `InvalidResponseError`.
    """
    begin, end = element.get("NotBefore"), element.get("NotOnOrAfter")
    if end is None:
        raise InvalidResponseError(f"it has no end (NotOnOrAfter of {what})")
    if begin is not None and _seconds(begin) > now + expected.leeway:
        raise InvalidResponseError("it is not valid yet: compare the clocks")
    found = _seconds(end)
    if found + expected.leeway <= now:
        raise InvalidResponseError("it is not valid any more: log in anew, or compare the clocks")
    return found


def _seconds(text: str) -> int:
    """Unix seconds, rounded down; SAML's instants are in UTC (SAML Core, 1.3.3)."""
    if not _INSTANT.fullmatch(text):
        raise InvalidResponseError("it has an instant that is not in UTC")
    try:
        return int(datetime.strptime(f"{text[:19]}+0000", "%Y-%m-%dT%H:%M:%S%z").timestamp())
    except ValueError:
        raise InvalidResponseError("it has an instant that there is not") from None


def _attributes(assertion: Any) -> dict[str, tuple[str, ...]]:
    """Values by the names of attributes. Values that are no texts are left out."""
    found: dict[str, list[str]] = {}
    total = 0
    for statement in children(assertion, ASSERTION, "AttributeStatement"):
        for attribute in children(statement, ASSERTION, "Attribute"):
            values = found.setdefault(str(attribute.get("Name", "")), [])
            for each in children(attribute, ASSERTION, "AttributeValue"):
                total += 1
                if not len(each) and each.text:
                    values.append(_value(each))
            if len(found) > MAX_ATTRIBUTES or total > MAX_ATTRIBUTE_VALUES:
                raise InvalidResponseError("it has too many attributes")
    return {name: tuple(values) for name, values in found.items()}


def _value(element: Any) -> str:
    text = text_of(element)
    if len(text) > MAX_TEXT:
        raise InvalidResponseError(f"{local_name(element)} is too long")
    return text
