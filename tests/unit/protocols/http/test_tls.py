"""What protocols.http.tls promises."""

import ssl
from pathlib import Path

import pytest
import trustme

from protocols.http.errors import TlsConfigError
from protocols.http.tls import TlsConfig, build_context


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with cert.pem, key.pem, other.pem (another key) and ca.pem."""
    ca = trustme.CA()
    cert, other = ca.issue_cert("agent.test"), ca.issue_cert("other.test")
    cert.private_key_pem.write_to_path(tmp_path / "key.pem")
    other.private_key_pem.write_to_path(tmp_path / "other.pem")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    for blob in cert.cert_chain_pems:
        blob.write_to_path(tmp_path / "cert.pem", append=True)
    return tmp_path


def test_old_protocols_and_resumption_are_off(files: Path) -> None:
    """TLS 1.2 at least; no tickets in either version, no renegotiation, no compression."""
    context = build_context(TlsConfig(files / "cert.pem", files / "key.pem"))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    for option in (ssl.OP_NO_TICKET, ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_COMPRESSION):
        assert context.options & option
    assert context.num_tickets == 0
    assert context.verify_mode == ssl.CERT_NONE


def test_all_suites_are_forward_secret_and_authenticated(files: Path) -> None:
    """RFC 9113 appendix A prohibits every other TLS 1.2 suite to HTTP/2."""
    context = build_context(TlsConfig(files / "cert.pem", files / "key.pem"))
    for cipher in context.get_ciphers():
        assert cipher["aead"]
        assert cipher["kea"] in ("kx-ecdhe", "kx-any")


@pytest.mark.parametrize(
    ("client_auth", "mode"), [("optional", ssl.CERT_OPTIONAL), ("required", ssl.CERT_REQUIRED)]
)
def test_clients_are_asked_for_certificates(
    files: Path, client_auth: str, mode: ssl.VerifyMode
) -> None:
    """The trust store vouches for clients, and nothing else does."""
    config = TlsConfig(
        files / "cert.pem",
        files / "key.pem",
        files / "ca.pem",
        client_auth,  # type: ignore[arg-type]  # parametrized
    )
    context = build_context(config)
    assert context.verify_mode == mode
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("cert", "key", "ca"),
    [
        ("missing.pem", "key.pem", None),
        ("cert.pem", "missing.pem", None),
        ("cert.pem", "other.pem", None),
        ("key.pem", "key.pem", None),
        ("cert.pem", "key.pem", "missing.pem"),
        ("cert.pem", "key.pem", "key.pem"),
        ("cert.pem", "key.pem", "cert.pem"),
        ("cert.pem", "key.pem", None),
    ],
)
def test_unusable_files_are_named(files: Path, cert: str, key: str, ca: str | None) -> None:
    """A bad certificate, key or trust store is an error of one kind that names its file."""
    required = ca is not None or (cert, key) == ("cert.pem", "key.pem")
    config = TlsConfig(
        files / cert,
        files / key,
        None if ca is None else files / ca,
        "required" if required else "none",
    )
    with pytest.raises(TlsConfigError) as failed:
        build_context(config)
    assert any(str(name) in str(failed.value) for name in (cert, key, ca or "ca_file"))


def test_encrypted_key_does_not_hang_on_the_terminal(files: Path) -> None:
    """OpenSSL would ask for the password where nobody answers."""
    key = files / "key.pem"
    text = key.read_text().replace("-----BEGIN RSA PRIVATE KEY-----\n", "")
    header = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
    key.write_text(header + "DEK-Info: AES-128-CBC,0123456789ABCDEF0123456789ABCDEF\n\n" + text)
    with pytest.raises(TlsConfigError):
        build_context(TlsConfig(files / "cert.pem", key))
