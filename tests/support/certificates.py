"""An authority of a test, and certificates of it in files."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

_DAY = dt.timedelta(days=1)


class Authority:
    """Issues certificates into its folder; `file` is its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.crt"
        builder = self._builder(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self._write(self.file, builder)

    def issue(
        self,
        name: str,
        *addresses: str,
        responder: str = "",
        use: x509.ObjectIdentifier | None = None,
    ) -> tuple[Path, Path]:
        """The files of a certificate, of these IP addresses, and of its key.

        `responder`: where it says that OCSP asks about it. `use`: its one extended use.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        builder = self._builder(_name(name), key.public_key())
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if responder:
            place = x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(responder)
            )
            access = x509.AuthorityInformationAccess([place])
            builder = builder.add_extension(access, critical=False)
        if use is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        certificate, file = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        self._write(certificate, builder)
        file.touch(mode=0o600)
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, file

    def revoke(self, file: Path) -> str:
        """A list with the certificate in a file, in PEM."""
        now = dt.datetime.now(dt.UTC)
        revoked = (
            x509.RevokedCertificateBuilder()
            .serial_number(x509.load_pem_x509_certificate(file.read_bytes()).serial_number)
            .revocation_date(now - _DAY)
            .build()
        )
        listed = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - _DAY)
            .next_update(now + _DAY)
            .add_revoked_certificate(revoked)
            .sign(self._key, hashes.SHA256())
        )
        return listed.public_bytes(serialization.Encoding.PEM).decode()

    def sign_answer(self, builder: ocsp.OCSPResponseBuilder) -> bytes:
        """An OCSP answer, signed by the authority itself."""
        found = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.certificate)
        return found.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    @property
    def certificate(self) -> x509.Certificate:
        """Its own."""
        return x509.load_pem_x509_certificate(self.file.read_bytes())

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )

    def _write(self, file: Path, builder: x509.CertificateBuilder) -> None:
        certificate = builder.sign(self._key, hashes.SHA256())
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
