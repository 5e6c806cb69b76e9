"""A server to talk to."""

import ssl
from pathlib import Path

import pytest

from protocols.link_transport.tls_contexts import TlsIdentity, server_context
from protocols.pki.certificates import to_pem
from protocols.pki.issuance import issue_server
from protocols.pki.keys import KeyKind, new_curve_key, store_key
from tests.unit.protocols.pki.samples import NOW, make_pki


@pytest.fixture
def server(tmp_path: Path) -> ssl.SSLContext:
    """The control plane's own context; clients need no certificate here."""
    pki, key = make_pki("capture"), new_curve_key(KeyKind.LEAF)
    identity = TlsIdentity(tmp_path / "server.pem", tmp_path / "server.key")
    leaf = issue_server(pki.authority, ["localhost"], key.public_key(), NOW)
    identity.chain.write_bytes(to_pem([leaf, *pki.authority.issuers]))
    store_key(identity.key, key)
    return server_context(identity, pki.trust, clients=ssl.CERT_NONE)
