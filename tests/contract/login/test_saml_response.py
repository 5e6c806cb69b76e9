"""Answers of identity providers: which count, and what of them."""

import base64
import copy
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from lxml import etree

from tests.support.saml_provider import ASSERTION, PROTOCOL, Said, SamlProvider
from vault.authn.methods.saml.response import (
    MAX_RESPONSE,
    ExpectedResponse,
    InvalidResponseError,
    VerifiedAssertion,
    verify_response,
)

PROVIDER = SamlProvider()
STRANGER = SamlProvider()
CURVED = SamlProvider(key=ec.generate_private_key(ec.SECP256R1()))
ACS = "https://agent.example/v1/auth/saml/callback"
DS = "http://www.w3.org/2000/09/xmldsig#"
EXPECTED = ExpectedResponse(
    request_id="_q1",
    acs_url=ACS,
    entity_id="https://agent.example",
    idp_entity_id=PROVIDER.entity_id,
    certificates=(PROVIDER.certificate,),
    leeway=30,
)


def said(**changed: Any) -> Said:
    """An answer to our request."""
    usual = {"request_id": "_q1", "acs_url": ACS, "audience": "https://agent.example"}
    return Said(**{**usual, **changed})


def verify(encoded: str, **changed: Any) -> VerifiedAssertion:
    """What it says, now."""
    return verify_response(encoded, replace(EXPECTED, **changed), int(time.time()))


def refused(encoded: str, **changed: Any) -> str:
    """Why it does not count."""
    with pytest.raises(InvalidResponseError) as error:
        verify(encoded, **changed)
    return error.value.reason


def decoded(encoded: str) -> Any:
    """Its document, to be changed."""
    return etree.fromstring(base64.b64decode(encoded))


def encoded(root: Any) -> str:
    """As posted."""
    data = root if isinstance(root, bytes) else etree.tostring(root)
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("signed", ["assertion", "response", "both"])
def test_an_answer_counts_however_it_is_signed(signed: Any) -> None:
    """By a signature over what holds the assertion, or over itself, or both."""
    answer = PROVIDER.respond(said(attributes={"groups": ["a", "b"], "mail": ["x@y"]}), signed)
    found = verify(answer)
    assert (found.id, found.subject) == ("_a1", "ann")
    assert found.attributes == {"groups": ("a", "b"), "mail": ("x@y",)}


@pytest.mark.parametrize(
    ("provider", "algorithm", "prefixes"),
    [
        (PROVIDER, "rsa-sha256", "xs"),
        (PROVIDER, "rsa-sha512", ""),
        (PROVIDER, "pss-sha256", ""),
        (CURVED, "ecdsa-sha256", "xs xsi"),
    ],
)
@pytest.mark.parametrize("signed", ["assertion", "response", "both"])
def test_forms_of_signatures_that_providers_use(
    signed: Any, provider: SamlProvider, algorithm: str, prefixes: str
) -> None:
    """Okta names prefixes; others have curves or PSS."""
    sign = provider.sign_otherwise(algorithm, prefixes=prefixes)
    answer = provider.respond(said(attributes={"mail": ["x@y"]}), signed, sign)
    certificates = (STRANGER.certificate, provider.certificate)
    assert verify(answer, certificates=certificates).attributes == {"mail": ("x@y",)}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"issuer": "https://other.example"}, "issuer"),
        ({"request_id": "_q2"}, "InResponseTo"),
        ({"request_id": "_q2", "confirmed_request": "_q1"}, "InResponseTo"),
        ({"confirmed_request": "_q2"}, "InResponseTo"),
        ({"confirmed_request": None}, "InResponseTo"),
        ({"recipient": "https://other.example/acs"}, "Recipient"),
        ({"recipient": None}, "Recipient"),
        ({"destination": "https://other.example/acs"}, "Destination"),
        ({"audience": "https://other.example"}, "audience"),
        ({"audience": None}, "for whom it is"),
        ({"not_before": 100}, "not valid yet"),
        ({"not_on_or_after": -31}, "any more"),
        ({"not_on_or_after": None}, "no end"),
        ({"confirmed_until": -31}, "any more"),
        ({"confirmed_until": None}, "no end"),
        ({"session_until": -31}, "session is over"),
        ({"method": "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"}, "who may bring it"),
        ({"status": "urn:oasis:names:tc:SAML:2.0:status:Requester"}, "not let them in"),
        ({"version": "1.1"}, "version"),
        ({"condition": "<saml:Condition/>"}, "condition"),
    ],
)
def test_an_answer_that_is_for_something_else(changed: dict[str, Any], reason: str) -> None:
    """However well it is signed."""
    for signed in ("assertion", "response"):
        assert reason in refused(PROVIDER.respond(said(**changed), signed))  # type: ignore[arg-type]


def test_clocks_may_differ_by_the_leeway() -> None:
    """And by no more."""
    late = said(not_on_or_after=-10, confirmed_until=-10, not_before=-60)
    assert verify(PROVIDER.respond(late)).subject == "ann"
    assert "any more" in refused(PROVIDER.respond(late), leeway=5)
    early = said(not_before=20)
    assert verify(PROVIDER.respond(early)).subject == "ann"
    assert "yet" in refused(PROVIDER.respond(early), leeway=10)


def test_a_signed_response_names_its_address() -> None:
    """SAML Bindings 2.0, 3.5.5.2; one that is not signed may leave it out."""
    assert verify(PROVIDER.respond(said(destination=None))).subject == "ann"
    assert "Destination" in refused(PROVIDER.respond(said(destination=None), "response"))


def test_who_has_signed() -> None:
    """A pinned certificate of the provider, valid now; what it holds itself says nothing."""
    assert "certificate of the provider" in refused(STRANGER.respond(said()))
    assert "not signed" in refused(PROVIDER.respond(said(), "none"))
    assert "has to be signed" in refused(PROVIDER.respond(said()), response_signed=True)
    only = PROVIDER.respond(said(), "response")
    assert "has to be signed" in refused(only, assertion_signed=True)
    with pytest.raises(InvalidResponseError, match="not valid now"):
        verify_response(PROVIDER.respond(said()), EXPECTED, int(time.time()) + 2 * 86_400)


@pytest.mark.parametrize(("algorithm", "digest"), [("rsa-sha1", "sha256"), ("rsa-sha256", "sha1")])
def test_old_algorithms_are_refused(algorithm: str, digest: str) -> None:
    """Although the signature is right."""
    sign = PROVIDER.sign_otherwise(algorithm, digest)
    assert "SHA-256" in refused(PROVIDER.respond(said(), "assertion", sign))


@pytest.mark.parametrize("place", ["NameID", "AttributeValue", "Audience"])
def test_what_was_changed_after_signing(place: str) -> None:
    """Any text of it."""
    for signed in ("assertion", "response", "both"):
        answer = decoded(PROVIDER.respond(said(attributes={"role": ["user"]}), signed))  # type: ignore[arg-type]
        next(answer.iter(f"{{{ASSERTION}}}{place}")).text = "admin"
        assert "certificate of the provider" in refused(encoded(answer))


def evil(assertion: Any, name: str = "_evil") -> Any:
    """An assertion of the attacker's: somebody else, not signed."""
    made = copy.deepcopy(assertion)
    made.set("ID", name)
    for signature in made.findall(f"{{{DS}}}Signature"):
        made.remove(signature)
    next(made.iter(f"{{{ASSERTION}}}NameID")).text = "admin"
    return made


def _parts(signed: Any) -> tuple[Any, Any, Any]:
    root = decoded(PROVIDER.respond(said(), signed))
    assertion = root.find(f"{{{ASSERTION}}}Assertion")
    owner = root if signed == "response" else assertion
    return root, assertion, owner.find(f"{{{DS}}}Signature")


def xsw1() -> Any:
    """The signed Response, whole, inside of the signature of an evil copy of it."""
    root, _, _ = _parts("response")
    forged = copy.deepcopy(root)
    forged.set("ID", "_evil")
    next(forged.iter(f"{{{ASSERTION}}}NameID")).text = "admin"
    original = copy.deepcopy(root)
    original.remove(original.find(f"{{{DS}}}Signature"))
    forged.find(f"{{{DS}}}Signature").append(original)
    return forged


def xsw2() -> Any:
    """The same, with the original beside the signature."""
    forged = xsw1()
    signature = forged.find(f"{{{DS}}}Signature")
    forged.insert(1, signature[-1])
    return forged


def xsw3() -> Any:
    """An evil assertion before the signed one."""
    root, assertion, _ = _parts("assertion")
    root.insert(list(root).index(assertion), evil(assertion))
    return root


def xsw4() -> Any:
    """An evil assertion around the signed one."""
    root, assertion, _ = _parts("assertion")
    forged = evil(assertion)
    root.replace(assertion, forged)
    forged.append(assertion)
    return root


def xsw5() -> Any:
    """The signature in an evil assertion; the signed one behind it."""
    root, assertion, signature = _parts("assertion")
    forged = evil(assertion)
    root.replace(assertion, forged)
    assertion.remove(signature)
    forged.insert(1, signature)
    root.append(assertion)
    return root


def xsw6() -> Any:
    """The same; the signed one inside of the signature."""
    root = xsw5()
    forged, original = root.findall(f"{{{ASSERTION}}}Assertion")
    forged.find(f"{{{DS}}}Signature").append(original)
    return root


def xsw7() -> Any:
    """An evil assertion in Extensions, which schemas leave open."""
    root, assertion, _ = _parts("assertion")
    extensions = etree.Element(f"{{{PROTOCOL}}}Extensions")
    extensions.append(evil(assertion))
    root.insert(1, extensions)
    return root


def xsw8() -> Any:
    """The signed one in an Object of the signature, in an evil assertion."""
    root, assertion, signature = _parts("assertion")
    forged = evil(assertion)
    root.replace(assertion, forged)
    assertion.remove(signature)
    forged.insert(1, signature)
    etree.SubElement(signature, f"{{{DS}}}Object").append(assertion)
    return root


def same_id() -> Any:
    """Two with one ID: it could be either."""
    root, assertion, _ = _parts("assertion")
    for each in evil(assertion, "_a1"):
        root.append(each)
        each.set("ID", "_a1")
    return root


def lower_case_id() -> Any:
    """The same with an attribute that other libraries take for an id."""
    root, _, _ = _parts("assertion")
    etree.SubElement(root, f"{{{PROTOCOL}}}Extensions").set("Id", "_a1")
    return root


def object_in_signature() -> Any:
    """Room for anything."""
    root, _, signature = _parts("assertion")
    etree.SubElement(signature, f"{{{DS}}}Object")
    return root


def other_reference() -> Any:
    """The signature of a part counts for the part alone."""
    root, assertion, _ = _parts("assertion")
    assertion.set("ID", "_a2")
    return root


def signature_elsewhere() -> Any:
    """A signature that nobody would look at, or somebody else would."""
    root, assertion, signature = _parts("assertion")
    assertion.find(f"{{{ASSERTION}}}Subject").append(copy.deepcopy(signature))
    return root


def other_namespace() -> Any:
    """An assertion by its name alone."""
    root, _, _ = _parts("assertion")
    etree.SubElement(root, "{urn:other}Assertion")
    return root


def nested_response() -> Any:
    """A response within the response."""
    root, _, _ = _parts("assertion")
    etree.SubElement(root, f"{{{PROTOCOL}}}Response")
    return root


def xslt() -> Any:
    """A program, as a transform."""
    root, _, signature = _parts("assertion")
    next(signature.iter(f"{{{DS}}}Transform")).set(
        "Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116"
    )
    return root


@pytest.mark.parametrize(
    "attack",
    [
        xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8, same_id, lower_case_id,
        object_in_signature, other_reference, signature_elsewhere, other_namespace,
        nested_response, xslt,
    ],
)  # fmt: skip
def test_wrapped_signatures(attack: Callable[[], Any]) -> None:
    """An answer has one form; whatever moves or doubles a part of it has another one.

    So it is refused before a signature is looked at: the second wall, that only signed bytes are
    read, is `test_what_was_changed_after_signing`.
    """
    reason = refused(encoded(attack()))
    assert "certificate of the provider" not in reason


def test_comments_in_names() -> None:
    """`ann<!---->.evil` is read as `ann` by some, and signed as `ann.evil`."""
    plain = base64.b64decode(PROVIDER.respond(said(subject="ann.evil")))
    split = plain.replace(b"ann.evil", b"ann<!-- x -->.evil")
    assert split != plain
    assert "comments" in refused(encoded(split))
    assert "comments" in refused(encoded(plain.replace(b"ann.evil", b"<![CDATA[ann]]>.evil")))
    assert "instructions" in refused(encoded(plain.replace(b"ann.evil", b"ann<?x y?>.evil")))
    nested = said(subject="ann<saml:x/>.evil")
    assert "NameID" in refused(PROVIDER.respond(nested))


@pytest.mark.parametrize(
    "head",
    [
        b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE r SYSTEM "http://127.0.0.1:1/x.dtd">',
        b'<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]>',
        b'<?xml version="1.0" encoding="utf-16"?>',
        b'<?xml version="1.0" encoding="UTF-7"?>',
        b"<?xml-stylesheet href='x'?>",
    ],
)
def test_entities_and_document_types(head: bytes) -> None:
    """They are refused before any parser of others sees them."""
    plain = base64.b64decode(PROVIDER.respond(said()))
    assert "document type" in refused(encoded(head + plain))


def test_other_encodings() -> None:
    """A declared UTF-8 is fine; bytes that are none are not, nor what is no base64."""
    plain = base64.b64decode(PROVIDER.respond(said()))
    assert verify(encoded(b'<?xml version="1.0" encoding="UTF-8"?>\n' + plain)).subject == "ann"
    assert "UTF-8" in refused(encoded(plain.decode().encode("utf-16")))
    assert "UTF-8" in refused(encoded(plain.replace(b"ann", b"\xff")))
    assert "base64" in refused("%%%")
    assert "well-formed" in refused(encoded(plain[:-5]))


def test_huge_answers() -> None:
    """They cost nothing but their length."""
    assert "large" in refused("A" * 300_000)
    assert "larger" in refused(encoded(b"<" + b"a" * MAX_RESPONSE + b"/>"))
    deep = b"<a>" * 1000 + b"</a>" * 1000
    assert "well-formed" in refused(encoded(deep))
    assert "elements" in refused(encoded(b"<a>" + b"<b/>" * 10_001 + b"</a>"))
    many = said(attributes={f"n{i}": ["v"] for i in range(201)})
    assert "too many" in refused(PROVIDER.respond(many))
    assert "too many" in refused(PROVIDER.respond(said(attributes={"n": ["v"] * 1001})))
    assert "too long" in refused(PROVIDER.respond(said(attributes={"n": ["v" * 3000]})))


@pytest.mark.parametrize("name", ["EncryptedAssertion", "EncryptedID", "EncryptedAttribute"])
def test_encrypted_answers(name: str) -> None:
    """They say what to do about it."""
    root = PROVIDER.document(said())
    assertion = root.find(f"{{{ASSERTION}}}Assertion")
    if name == "EncryptedAssertion":
        root.remove(assertion)
    etree.SubElement(root, f"{{{ASSERTION}}}{name}")
    assert "turn off the encryption" in refused(encoded(root))


def test_what_is_no_answer() -> None:
    """Nor is an assertion alone, nor a refusal."""
    root = PROVIDER.document(said())
    assert "Response" in refused(encoded(root.find(f"{{{ASSERTION}}}Assertion")))
    root.remove(root.find(f"{{{ASSERTION}}}Assertion"))
    assert "no Assertion" in refused(encoded(root))
    next(root.iter(f"{{{PROTOCOL}}}StatusCode")).set("Value", "urn:x:Denied")
    assert "not let them in" in refused(encoded(root))


@pytest.mark.parametrize(
    "name",
    ["Issuer", "Subject", "NameID", "SubjectConfirmation", "SubjectConfirmationData", "Conditions",
     "AuthnStatement"],
)  # fmt: skip
def test_parts_that_an_assertion_must_have(name: str) -> None:
    """Whatever is left out says nothing, and what is there twice says two things."""
    root = PROVIDER.document(said())
    assertion = root.find(f"{{{ASSERTION}}}Assertion")
    part = next(assertion.iter(f"{{{ASSERTION}}}{name}"))
    twice = copy.deepcopy(assertion)
    part.getparent().remove(part)
    assert refused(encoded(PROVIDER.sign(assertion)))
    if name in {"AuthnStatement", "SubjectConfirmation"}:
        return  # of which there may be several
    part = next(twice.iter(f"{{{ASSERTION}}}{name}"))
    part.addnext(copy.deepcopy(part))
    root.replace(assertion, twice)
    assert "exactly one" in refused(encoded(PROVIDER.sign(twice)))


def test_instants_are_in_utc() -> None:
    """Of all others nobody is sure."""
    plain = base64.b64decode(PROVIDER.respond(said(), "none"))
    local = re.sub(rb'(NotOnOrAfter="[^"]*)Z"', rb'\1+02:00"', plain)
    root = etree.fromstring(local)
    answer = etree.fromstring(PROVIDER.sign(root.find(f"{{{ASSERTION}}}Assertion")))
    assert "UTC" in refused(encoded(answer))
