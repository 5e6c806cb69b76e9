"""Certificates of an authority that is given, and of one made here; a real TLS server."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from actors.testing import FakeWorld
from actors.world import SystemWorld
from protocols.pki import ceremony, certificates, keys, requests
from vault.errors import ValidationError
from vault.rotation.rotator import RotationContext, RotationError, Rotator, Value
from vault.rotation.rotators import tls

MakeContext = Callable[..., RotationContext]
HOUR = 3600


def make(world: SystemWorld, **config: object) -> Rotator:
    """A rotator of these settings."""
    kind = tls.kind(world)
    return kind.make(kind.parse({"names": ["app.internal", "127.0.0.1"], **config}))


def refused(run: Callable[[], object]) -> RotationError:
    """The error that it raises."""
    with pytest.raises(RotationError) as caught:
        run()
    return caught.value


@pytest.fixture
def authority(world: SystemWorld, make_context: MakeContext) -> Value:
    """One that `tls-authority` has made."""
    kind = tls.authority_kind(world)
    rotator = kind.make(kind.parse({}))
    value = rotator.create(make_context(), {})
    rotator.verify(make_context(), value)
    return value


@contextmanager
def serving(value: Value, folder: Path) -> Iterator[int]:
    """A TLS server with this certificate; its port."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_text(value["chain"])
    key.write_text(value["private_key"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _address = listener.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(connection, server_side=True) as secure:
                        secure.recv(1)
                except OSError:
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("algorithm", ["ecdsa", "rsa"])
def test_a_certificate_is_issued_and_a_client_accepts_it(
    algorithm: str, authority: Value, tmp_path: Path, world: SystemWorld, make_context: MakeContext
) -> None:
    """By OpenSSL, for its names; key, names, life and renewal are as configured."""
    rotator = make(world, algorithm=algorithm, hours=48, renew_before_hours=12)
    value = rotator.create(make_context(authority), {})
    rotator.apply(make_context(authority), value)
    rotator.verify(make_context(), value)
    leaf = x509.load_pem_x509_certificate(value["certificate"].encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["app.internal"]
    life = leaf.not_valid_after_utc.timestamp() - world.wall() / 1e9
    assert 47 * HOUR < life <= 48 * HOUR
    assert int(value["not_after"]) - int(value["renew_at"]) == 12 * HOUR
    assert value["serial"] == f"{leaf.serial_number:040x}"
    context = ssl.create_default_context(cadata=value["ca"])
    with (
        serving(value, tmp_path) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as stream,
        context.wrap_socket(stream, server_hostname="app.internal"),
    ):
        pass


def test_an_intermediate_of_a_given_root_issues(
    world: SystemWorld, make_context: MakeContext
) -> None:
    """The chain holds the intermediate and not the root."""
    now = world.wall()
    root = ceremony.create_root(keys.new_curve_key(keys.KeyKind.AUTHORITY), "Root", now)
    key = keys.new_curve_key(keys.KeyKind.AUTHORITY)
    request = requests.create_authority_csr(key, "Intermediate")
    intermediate = ceremony.sign_intermediate(root, request, now)
    connection = {
        "certificate": certificates.to_pem([intermediate, root.certificate]).decode(),
        "private_key": keys.encode_private(key).decode(),
    }
    rotator = make(world)
    value = rotator.create(make_context(connection), {})
    rotator.verify(make_context(), value)
    assert value["chain"].count("BEGIN CERTIFICATE") == 2
    assert value["ca"] == certificates.to_pem([root.certificate]).decode()
    alone = {**connection, "certificate": certificates.to_pem([intermediate]).decode()}
    assert refused(lambda: rotator.create(make_context(alone), {})).code == "tls_authority"


def test_a_chain_that_does_not_verify_is_refused(
    authority: Value, world: SystemWorld, make_context: MakeContext, canary: str
) -> None:
    """Another root, another key, other names, a certificate that has expired."""
    rotator = make(world)
    value = rotator.create(make_context(authority), {})
    other = make(world).create(make_context(authority), {})
    kind = tls.authority_kind(world)
    stranger = kind.make(kind.parse({})).create(make_context(), {})
    for wrong in (
        {**value, "ca": stranger["ca"]},
        {**value, "private_key": other["private_key"]},
        {**value, "private_key": canary},
        {**value, "chain": canary},
        {**value, "ca": canary},
    ):
        error = refused(lambda: rotator.verify(make_context(), wrong))  # noqa: B023
        assert error.code == "tls_chain"
        assert canary not in f"{error!r} {error.text}"
    names = make(world, names=["app.internal", "other.internal"])
    assert refused(lambda: names.verify(make_context(), value)).code == "tls_chain"
    later = FakeWorld(world.wall() + 31 * 24 * HOUR * 10**9)
    assert refused(lambda: make(later).verify(make_context(), value)).code == "tls_chain"
    assert refused(lambda: rotator.verify(make_context(), {})).code == "value_field_missing"


def test_an_authority_that_cannot_issue_is_refused(
    authority: Value, world: SystemWorld, make_context: MakeContext, canary: str
) -> None:
    """Expired, of another key, or none; nothing of its key is in the error."""
    kind = tls.authority_kind(world)
    other = kind.make(kind.parse({})).create(make_context(), {})
    leaf = make(world).create(make_context(authority), {})
    for connection in (
        {**authority, "private_key": other["private_key"]},
        {**authority, "private_key": canary},
        {**authority, "certificate": canary},
        {"certificate": leaf["certificate"] + authority["ca"], "private_key": leaf["private_key"]},
    ):
        error = refused(lambda: make(world).create(make_context(connection), {}))  # noqa: B023
        assert (error.code, error.is_final) == ("tls_authority", True)
        assert canary not in f"{error!r} {error.text}"
    later = FakeWorld(world.wall() + 3660 * 24 * HOUR * 10**9)
    assert refused(lambda: make(later).create(make_context(authority), {})).code == "tls_authority"


def test_a_certificate_never_outlives_its_authority(
    authority: Value, world: SystemWorld, make_context: MakeContext
) -> None:
    """Two days before the root's end a month becomes two days."""
    late = FakeWorld(world.wall() + 3648 * 24 * HOUR * 10**9)
    value = make(late).create(make_context(authority), {})
    root = x509.load_pem_x509_certificate(authority["certificate"].encode())
    assert int(value["not_after"]) == int(root.not_valid_after_utc.timestamp())
    assert int(value["renew_at"]) == late.wall() // 10**9


def test_the_server_is_asked_which_one_it_serves(
    authority: Value, tmp_path: Path, world: SystemWorld, make_context: MakeContext
) -> None:
    """Before the new one is current, or before the old one is retired."""
    first, second = (make(world).create(make_context(authority), {}) for _ in range(2))
    with serving(first, tmp_path) as port:
        address = f"127.0.0.1:{port}"
        after = make(world, address=address)
        after.verify(make_context(), second)
        error = refused(lambda: after.retire(make_context(), first))
        assert (error.code, error.is_final) == ("tls_still_served", False)
        after.retire(make_context(), second)
        before = make(world, address=address, served_when="verified")
        before.verify(make_context(), first)
        assert refused(lambda: before.verify(make_context(), second)).code == "tls_not_served"
    assert refused(lambda: after.retire(make_context(), first)).code == "tls_unreachable"


def test_old_and_new_authority_are_trusted_together(
    authority: Value, world: SystemWorld, make_context: MakeContext
) -> None:
    """What the old one has issued goes on being accepted by those who read `ca`."""
    kind = tls.authority_kind(world)
    renewed = kind.make(kind.parse({})).create(make_context(), authority)
    old = make(world).create(make_context(authority), {})
    make(world).verify(make_context(), {**old, "ca": renewed["ca"]})
    new = make(world).create(make_context(renewed), {})
    make(world).verify(make_context(), {**new, "ca": renewed["ca"]})


@pytest.mark.parametrize(
    "config",
    [
        {"names": []}, {"names": ["Upper.example"]}, {"names": ["a b"]}, {"names": ["a..b"]},
        {"names": ["*"]}, {"names": ["a.*.b"]}, {"hours": 24, "renew_before_hours": 24},
        {"address": "nohost"}, {"address": "h:0"}, {"address": "h:99999"}, {"algorithm": "dsa"},
        {"bits": 2048}, {"names": ["-a.example"]}, {"names": ["é.example"]},
    ],
)  # fmt: skip
def test_settings_that_make_no_certificate_are_refused(
    config: dict[str, object], world: SystemWorld
) -> None:
    """When they are written."""
    with pytest.raises(ValidationError):
        tls.kind(world).parse({"names": ["a.example"], **config})


def test_wildcards_and_addresses(
    authority: Value, world: SystemWorld, make_context: MakeContext
) -> None:
    """They are verified as a client would."""
    rotator = make(world, names=["*.app.internal", "fd00::1", "10.0.0.1"])
    rotator.verify(make_context(), rotator.create(make_context(authority), {}))
