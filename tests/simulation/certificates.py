"""Certificates of a run: the product's own authority and identities, with keys of the seed's."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partialmethod
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509 import Certificate, CertificateBuilder, CertificateSigningRequestBuilder

from control.ca.directory import CaDirectory
from protocols.link.errors import TransportError
from protocols.pki import keys
from protocols.pki.certificates import parse_certificate, parse_pem_chain, to_der, validity_period
from protocols.pki.errors import PkiError
from protocols.pki.files import read_file
from protocols.pki.trust import TrustStore
from tests.simulation.machine import EPOCH
from tests.simulation.observing import replaced

_ORDERS: Final = {  # of the curves' groups: FIPS 186-4, D.1.2.3 and D.1.2.4
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF"
        "581A0DB248B0A77AECEC196ACCC52973",
        16,
    ),
}


@contextmanager
def seeded_keys() -> Iterator[None]:
    """Keys are made of the seed's bytes, and ECDSA signs without chance (RFC 6979)."""
    with ExitStack() as stack:
        stack.enter_context(replaced(keys, "generate_private_key", _curve_key))
        stack.enter_context(replaced(keys, "new_signing_key", _signing_key))
        for builder in (CertificateBuilder, CertificateSigningRequestBuilder):
            sign = partialmethod(builder.sign, ecdsa_deterministic=True)
            stack.enter_context(replaced(builder, "sign", sign))
        yield


def new_authority(folder: Path) -> CaDirectory:
    """An authority in `folder`/ca, its root's key beside it."""
    directory = CaDirectory(folder / "ca")
    directory.create_authority(folder / "root", "simulation", EPOCH)
    return directory


def chain_in(file: Path) -> list[bytes]:
    """What is shown of a PEM file: DER, leaf first."""
    return _ders(read_file(file))


@lru_cache(maxsize=1000)
def _ders(pem: bytes) -> list[bytes]:
    return [to_der(certificate) for certificate in parse_pem_chain(pem)]


def shaken(check: Callable[[], Any]) -> None:
    """A side of a handshake. Raises `TransportError` (`tls`) when it does not like what it sees."""
    try:
        check()
    except PkiError as error:
        raise TransportError("tls", str(error)) from None


def remembered(verified: Callable[..., Certificate]) -> Callable[..., Certificate]:
    """As `protocols.pki.chain._verified`, whose signatures are checked once a chain.

    What else its answer depends on, the time, is looked at every time: it is refused, or checked
    anew, outside of what all its certificates have in common.
    """
    known: dict[Any, tuple[Certificate, int, int]] = {}

    def verify(chain: Sequence[bytes], trust: TrustStore, now: int, use: Any) -> Certificate:
        key = (*chain, *map(to_der, trust.roots), use)
        leaf, since, until = known.get(key, (None, 0, 0))
        if leaf is not None and since <= now < until:
            return leaf
        leaf = verified(chain, trust, now, use)
        times = [validity_period(each) for each in (*map(parse_certificate, chain), *trust.roots)]
        known[key] = leaf, max(t[0] for t in times), min(t[1] for t in times)
        return leaf

    return verify


def _curve_key(curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(os.urandom(64)) % (_ORDERS[curve.name] - 1) + 1
    return ec.derive_private_key(number, curve)


def _signing_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(os.urandom(32))
