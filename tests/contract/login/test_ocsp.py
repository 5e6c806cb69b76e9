"""The method `cert` with OCSP: a real responder (`openssl ocsp`), and ones that lie or are down."""

import datetime as dt
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec.structs import replace

from actors.world import SystemWorld
from tests.support.certificates import Authority
from tests.support.login import MOUNT, Entries
from tests.support.ocsp_responder import Responder, responder
from vault.authn.jwt.source_client import SourceClient
from vault.authn.methods.cert import CERTS, CertMethod, CertRole
from vault.authn.methods.method import LoginRefusedError, LoginRequest
from vault.authn.methods.ocsp import BREAKER_FAILURES, OcspChecker
from vault.errors import UnavailableError
from vault.model.operation import Origin

REVOKED = ocsp.OCSPCertStatus.REVOKED
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Of clients and of the responder."""
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture
def source(tmp_path: Path, authority: Authority) -> Iterator[Responder]:
    """Its responder."""
    with responder(tmp_path, authority) as made:
        yield made


def der_of(file: Path) -> bytes:
    """As TLS shows it."""
    return x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)


class House:
    """A mount with one role, which asks the responder."""

    def __init__(self, authority: Authority, source: Responder, **role: Any) -> None:
        usual = {
            "certificate": authority.file.read_text(),
            "ocsp_enabled": True,
            "ocsp_servers_override": (source.address,),
        }
        self.role = CertRole(**{**usual, **role})
        world = SystemWorld()
        checker = OcspChecker(SourceClient(world), world, os.urandom)
        self.method = CertMethod(Entries({(CERTS, "r"): self.role}), world, checker)

    async def log_in(self, file: Path) -> str:
        """What comes of it: `in`, `out`, or why nobody can say."""
        origin = Origin(ip="127.0.0.1", peer_certificate=der_of(file))
        request = LoginRequest(mount=MOUNT, path="login", fields={}, origin=origin)
        try:
            await self.method.login(request)
        except LoginRefusedError:
            return "out"
        except UnavailableError as error:
            return f"{error.code}: {error.message}"
        return "in"


@pytest.fixture(scope="module")
def job(authority: Authority) -> Path:
    """The certificate of a client."""
    return authority.issue("job")[0]


async def test_what_the_responder_says(authority: Authority, source: Responder, job: Path) -> None:
    """Good gets in, revoked does not, unknown is known by nobody."""
    house = House(authority, source)
    told = await house.log_in(job)
    assert told.startswith("ocsp_unavailable")
    assert "does not know" in told
    source.know(job)
    assert await house.log_in(job) == "in"
    source.know(job, revoked=True)
    assert await house.log_in(job) == "in"  # until its next answer
    assert await House(authority, source).log_in(job) == "out"
    assert await House(authority, source, ocsp_fail_open=True).log_in(job) == "out"


async def test_answers_are_kept(authority: Authority, source: Responder, job: Path) -> None:
    """Until the next one is due; without an end, and with a bound of ours, no longer."""
    source.know(job)
    house = House(authority, source)
    for _ in range(3):
        assert await house.log_in(job) == "in"
    assert source.asked == 1
    bounded = House(authority, source, ocsp_this_update_max_age=1)
    for _ in range(2):
        assert await bounded.log_in(job) == "in"  # within the skew of clocks
    assert source.asked == 3


@pytest.mark.parametrize(
    "options", [["-nmin", "5", "-resp_no_certs"], ["-nmin", "5", "-resp_key_id"]]
)
async def test_forms_of_answers(
    authority: Authority, source: Responder, job: Path, options: list[str]
) -> None:
    """A responder that keeps its certificate to itself is one that has to be written down."""
    source.know(job)
    source.options = options
    told = await House(authority, source).log_in(job)
    assert told == "in" if "-resp_key_id" in options else "not signed" in told


def answer(
    authority: Authority,
    job: Path,
    *,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    made: dt.timedelta = -MINUTE,
    ends: dt.timedelta | None = 5 * MINUTE,
    issuer: Authority | None = None,
    algorithm: hashes.HashAlgorithm | None = None,
    nonce: bytes | None = None,
    signer: Authority | None = None,
) -> Callable[[bytes], bytes]:
    """What a responder says that is the authority itself."""
    now = dt.datetime.now(dt.UTC)
    builder = ocsp.OCSPResponseBuilder().add_response(
        x509.load_pem_x509_certificate(job.read_bytes()),
        (issuer or authority).certificate,
        algorithm or hashes.SHA1(),  # noqa: S303  # as RFC 5019 asks for
        status,
        now + made,
        None if ends is None else now + ends,
        now - MINUTE if status is ocsp.OCSPCertStatus.REVOKED else None,
        None,
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    signed = (signer or authority).sign_answer(builder)
    return lambda _: signed


async def test_the_authority_itself_answers(
    authority: Authority, source: Responder, job: Path
) -> None:
    """Signed beforehand, so without a nonce; with no next one, it counts for the moment."""
    source.answer = answer(authority, job)
    assert await House(authority, source).log_in(job) == "in"
    source.answer = answer(authority, job, ends=None)
    assert await House(authority, source).log_in(job) == "in"
    source.answer = answer(authority, job, status=REVOKED)
    assert await House(authority, source).log_in(job) == "out"


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority, of the same name."""
    return Authority(tmp_path_factory.mktemp("stranger"), "ours")


async def test_answers_that_say_nothing(
    authority: Authority, stranger: Authority, source: Responder, job: Path
) -> None:
    """Each is refused, and counts as no answer: with `ocsp_fail_open` the client gets in."""
    other = authority.issue("other")[0]
    lies: dict[str, Callable[[bytes], bytes | None]] = {
        "not signed": answer(authority, job, signer=stranger),
        "nonce": answer(authority, job, nonce=b"x" * 32),
        "another certificate": answer(authority, other),
        "certificate": answer(authority, job, issuer=stranger),
        "out of date": answer(authority, job, made=-20 * MINUTE, ends=-2 * MINUTE),
        "future": answer(authority, job, made=5 * MINUTE, ends=9 * MINUTE),
        "cannot be read": lambda _: b"nonsense",
        "with an error": lambda _: ocsp.OCSPResponseBuilder.build_unsuccessful(
            ocsp.OCSPResponseStatus.TRY_LATER
        ).public_bytes(Encoding.DER),
        "larger": lambda _: b"x" * 70_000,
        "500": lambda _: None,
    }
    for reason, lie in lies.items():
        source.answer = lie
        assert reason in await House(authority, source).log_in(job), reason
        assert await House(authority, source, ocsp_fail_open=True).log_in(job) == "in"


async def test_a_changed_answer(authority: Authority, source: Responder, job: Path) -> None:
    """Its signature is over all of it."""
    source.know(job, revoked=True)
    revoked = source.openssl

    def changed(request: bytes) -> bytes:
        data = bytearray(revoked(request))
        data[-1] ^= 1
        data[len(data) // 2] ^= 1
        return bytes(data)

    source.answer = changed
    assert await House(authority, source).log_in(job) not in {"in", "out"}


@pytest.mark.parametrize("use", [ExtendedKeyUsageOID.CLIENT_AUTH, None])
async def test_any_certificate_of_the_authority_is_no_responder(
    authority: Authority, source: Responder, job: Path, use: x509.ObjectIdentifier | None
) -> None:
    """Else each client could say that it was not revoked."""
    source.know(job)
    source.signer = authority.issue("liar", use=use)
    assert "not signed" in await House(authority, source).log_in(job)


async def test_a_responder_of_a_stranger(
    authority: Authority, stranger: Authority, source: Responder, job: Path
) -> None:
    """It counts where it is written down."""
    source.know(job)
    source.signer = stranger.issue("responder", use=ExtendedKeyUsageOID.OCSP_SIGNING)
    assert "not signed" in await House(authority, source).log_in(job)
    trusted = stranger.file.read_text()
    assert await House(authority, source, ocsp_ca_certificates=trusted).log_in(job) == "in"


async def test_several_responders(authority: Authority, source: Responder, job: Path) -> None:
    """One is enough, unless all are asked: then each has to answer, and one may refuse."""
    source.know(job)
    both = {"ocsp_servers_override": ("http://127.0.0.1:1/", source.address)}
    assert await House(authority, source, **both).log_in(job) == "in"
    told = await House(authority, source, **both, ocsp_query_all_servers=True).log_in(job)
    assert "relied on" in told
    twice = {"ocsp_servers_override": (source.address, source.address + "second")}
    assert await House(authority, source, **twice, ocsp_query_all_servers=True).log_in(job) == "in"
    said = iter([answer(authority, job)(b""), answer(authority, job, status=REVOKED)(b"")])
    source.answer = lambda _: next(said)
    assert await House(authority, source, **twice, ocsp_query_all_servers=True).log_in(job) == "out"


async def test_a_responder_that_is_down_is_left_alone(
    authority: Authority, source: Responder, job: Path
) -> None:
    """After a few failures it is not asked for a while, whoever comes."""
    source.answer = lambda _: None
    house = House(authority, source)
    for _ in range(BREAKER_FAILURES + 3):
        assert await house.log_in(job) != "in"
    assert source.asked == BREAKER_FAILURES
    assert "before" in await house.log_in(job)


async def test_the_responder_that_a_certificate_names(
    authority: Authority, source: Responder
) -> None:
    """It is asked, unless it is on this machine, whose services trust callers of this machine."""
    named = authority.issue("named", responder=source.address)[0]
    source.know(named)
    own = House(authority, source, ocsp_servers_override=())
    assert "not one to connect to" in await own.log_in(named)
    assert source.asked == 0
    for address in ("http://169.254.169.254/", "http://[fe80::1]/", "file:///etc/passwd"):
        inside = authority.issue("inside", responder=address)[0]
        assert await own.log_in(inside) not in {"in", "out"}
    without = authority.issue("without")[0]
    assert "names no OCSP responder" in await own.log_in(without)


@pytest.fixture(scope="module")
def pinned(job: Path) -> dict[str, str]:
    """A role of one certificate."""
    return {"certificate": job.read_text()}


async def test_a_pinned_certificate(
    authority: Authority, source: Responder, job: Path, pinned: dict[str, str]
) -> None:
    """Its issuer has to be written down: who has signed it is known by nothing else."""
    source.know(job, revoked=True)
    assert "issuer" in await House(authority, source, **pinned).log_in(job)
    trusted = {**pinned, "ocsp_ca_certificates": authority.file.read_text()}
    house = House(authority, source, **trusted)
    assert await house.log_in(job) == "out"
    without = replace(house.role, ocsp_enabled=False)
    method = CertMethod(
        Entries({(CERTS, "r"): without}),
        SystemWorld(),
        OcspChecker(SourceClient(SystemWorld()), SystemWorld(), os.urandom),
    )
    house.method = method
    assert await house.log_in(job) == "in"
