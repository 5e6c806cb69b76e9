"""The method `cert`: whose certificate gets in, and whose does not."""

import datetime as dt
import os
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec.structs import replace

from actors.world import SystemWorld
from tests.support.login import MOUNT, Entries
from vault.authn.jwt.source_client import SourceClient
from vault.authn.methods.cert import CERTS, CRLS, CertConfig, CertMethod, CertRole, Revocations
from vault.authn.methods.method import CONFIG, EntryChange, LoginRefusedError, LoginRequest
from vault.authn.methods.ocsp import OcspChecker
from vault.errors import ValidationError
from vault.model.operation import Origin

DAY = dt.timedelta(days=1)
NOW = dt.datetime.now(dt.UTC)
OID = "1.3.6.1.4.1.55555.1"
KEY = ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """An authority."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self.issue(name, ca=True, key=self.key)

    def issue(
        self,
        common: str,
        *,
        ca: bool = False,
        key: ec.EllipticCurvePrivateKey = KEY,
        end: dt.datetime = NOW + DAY,
        use: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> x509.Certificate:
        """A certificate with one of each name."""
        subject = [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "blue"),
        ]
        names = [
            x509.DNSName(f"{common}.example.org"),
            x509.RFC822Name(f"{common}@example.org"),
            x509.UniformResourceIdentifier(f"spiffe://example.org/{common}"),
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name if ca else x509.Name(subject))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - 3 * DAY)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            extra = x509.UnrecognizedExtension(x509.ObjectIdentifier(OID), b"\x0c\x04team")
            builder = builder.add_extension(extra, critical=False)
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
            if use is not None:
                builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def revoke(self, certificate: x509.Certificate) -> str:
        """A list with this certificate, in PEM; it is out of date, and counts all the same."""
        revoked = (
            x509.RevokedCertificateBuilder()
            .serial_number(certificate.serial_number)
            .revocation_date(NOW - 3 * DAY)
            .build()
        )
        listed = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(NOW - 3 * DAY)
            .next_update(NOW - DAY)
            .add_revoked_certificate(revoked)
            .sign(self.key, hashes.SHA256())
        )
        return listed.public_bytes(serialization.Encoding.PEM).decode()


OURS, STRANGER = Issuer("ours"), Issuer("stranger")
JOB = OURS.issue("job")


def pem(*certificates: x509.Certificate) -> str:
    """As administrators write them."""
    parts = (each.public_bytes(serialization.Encoding.PEM) for each in certificates)
    return b"".join(parts).decode()


def method(entries: Entries) -> CertMethod:
    """With what asks OCSP responders, of which there are none."""
    world = SystemWorld()
    return CertMethod(entries, world, OcspChecker(SourceClient(world), world, os.urandom))


async def logs_in(
    certificate: x509.Certificate | None,
    role: CertRole | None = None,
    crl: str = "",
    named: str = "",
    config: CertConfig | None = None,
) -> Any:
    """The result of a login with a role `r`; None where it is refused."""
    documents: dict[tuple[str, str], Any] = {
        (CERTS, "r"): role or CertRole(certificate=pem(OURS.certificate))
    }
    if crl:
        documents[CRLS, "list"] = Revocations(crl=crl)
    if config is not None:
        documents[CONFIG, CONFIG] = config
    der = certificate and certificate.public_bytes(serialization.Encoding.DER)
    request = LoginRequest(
        mount=MOUNT,
        path="login",
        fields={"name": named} if named else {},
        origin=Origin(ip="127.0.0.1", peer_certificate=der),
    )
    try:
        return await method(Entries(documents)).login(request)
    except LoginRefusedError:
        return None


async def test_a_certificate_of_a_trusted_authority_gets_in() -> None:
    """Its token is bound to it, and says whose it is."""
    found = await logs_in(JOB)
    assert (found.alias, found.role, found.display_name) == ("job", "r", "r")
    assert found.certificate == JOB.fingerprint(hashes.SHA256()).hex()
    assert found.metadata["serial_number"] == str(JOB.serial_number)
    assert (await logs_in(JOB, named="r")) is not None
    assert await logs_in(JOB, named="other") is None
    unbound = await logs_in(JOB, config=CertConfig(disable_binding=True))
    assert unbound.certificate == ""


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        STRANGER.issue("job"),
        OURS.issue("job", end=NOW - DAY),
        OURS.issue("job", end=NOW + 9 * DAY),
        OURS.issue("job", use=ExtendedKeyUsageOID.SERVER_AUTH),
    ],
    ids=["none", "stranger's", "expired", "not yet", "a server's"],
)
async def test_another_one_does_not(certificate: x509.Certificate | None) -> None:
    """Whatever TLS made of it."""
    assert await logs_in(certificate) is None


async def test_a_pinned_certificate_is_that_one_alone() -> None:
    """Neither one of the same name, nor of the same key, nor one that it has signed."""
    role = CertRole(certificate=pem(JOB))
    assert await logs_in(JOB, role) is not None
    other = ec.generate_private_key(ec.SECP256R1())
    assert await logs_in(OURS.issue("job"), role) is None
    assert await logs_in(OURS.issue("job", key=other), role) is None
    forged = Issuer("job")
    forged.key, forged.name = KEY, JOB.subject
    assert await logs_in(forged.issue("job"), role) is None


async def test_a_revoked_certificate_does_not_get_in() -> None:
    """By a list that its authority has signed, and by no other."""
    assert await logs_in(JOB, crl=OURS.revoke(JOB)) is None
    forged = Issuer("ours")
    assert await logs_in(JOB, crl=forged.revoke(JOB)) is not None
    assert await logs_in(JOB, crl=OURS.revoke(OURS.issue("job"))) is not None


@pytest.mark.parametrize(
    ("field", "right", "wrong"),
    [
        ("allowed_names", "job@example.org", "*.example.com"),
        ("allowed_common_names", "jo*", "Job"),
        ("allowed_dns_sans", "*.example.org", "job.example.or"),
        ("allowed_email_sans", "job@*", "job"),
        ("allowed_uri_sans", "spiffe://example.org/*", "spiffe://example.org/jo"),
        ("allowed_organizational_units", "blue", "red"),
        ("required_extensions", f"{OID}:te*", f"{OID}:other"),
        ("required_extensions", f"{OID}:team", "1.2.3:team"),
    ],
)
async def test_names_narrow_a_role(field: str, right: str, wrong: str) -> None:
    """A pattern matches whole values; where several are given, one is enough."""
    role = CertRole(certificate=pem(OURS.certificate))
    assert await logs_in(JOB, replace(role, **{field: (right,)})) is not None
    assert await logs_in(JOB, replace(role, **{field: (wrong,)})) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"certificate": ""},
        {"certificate": "-----BEGIN CERTIFICATE-----"},
        {"certificate": pem(JOB, OURS.certificate)},
        {"certificate": pem(JOB), "ocsp_enabled": True},
        {"certificate": pem(OURS.certificate), "ocsp_servers_override": ("ftp://x/",)},
        {"certificate": pem(OURS.certificate), "ocsp_servers_override": ("http://x/",) * 5},
        {"certificate": pem(OURS.certificate), "ocsp_ca_certificates": "x"},
        {"certificate": pem(OURS.certificate), "ocsp_ca_certificates": pem(JOB)},
        {"certificate": pem(JOB), "allowed_names": ("*a*b*",)},
    ],
)
async def test_a_role_that_cannot_work_is_refused(fields: dict[str, Any]) -> None:
    """At its writing."""
    kind = method(Entries({})).kinds[CERTS]
    assert kind.prepare is not None
    new = CertRole(**fields)
    with pytest.raises(ValidationError):
        await kind.prepare(EntryChange(mount=MOUNT, name="r", old=None, given=fields, new=new))
