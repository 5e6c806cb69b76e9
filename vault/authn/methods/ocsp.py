"""Whether clients' certificates were revoked, asked of their issuers' responders (OCSP).

Answers are kept until the responder says that the next one comes. A responder that does not answer
is left alone for a while. Who is asked: the addresses that the role names, else those in the
certificate, whose issuer the role trusts; these lead to no address of this machine.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct

from actors.breaker import Breaker
from actors.errors import CircuitOpen
from actors.world import World
from protocols.outbound import AddressClass
from protocols.pki.errors import PkiError, RevokedError
from vault.authn.jwt.digest import digest_of
from vault.authn.jwt.source_client import SourceClient, SourceError, SourceRequest

if TYPE_CHECKING:  # an agent that asks no responder never loads it
    from protocols.pki.certificates import Certificate
    from protocols.pki.client_certificate import ClientCertificate
    from protocols.pki.ocsp import OcspAnswer, OcspQuestion

SECONDS: Final = 8.0  # for all responders of one certificate
NONCE_BYTES: Final = 32  # RFC 8954, 2.1
MAX_BREAKERS: Final = 256  # responders
BREAKER_FAILURES: Final = 3  # in a row
BREAKER_SECONDS: Final = 15.0
MAX_SERVERS: Final = 4  # of a role or certificate
MAX_CACHED: Final = 10_000  # answers, of all mounts


class OcspUnavailableError(Exception):
    """Nobody can say whether a certificate was revoked. `reason` is one of our texts."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OcspSettings(Struct, frozen=True, kw_only=True):
    """Who is asked, and who may answer. `trusted`: PEM. `max_age`: ns; 0: no bound of ours."""

    servers: tuple[str, ...] = ()
    all_servers: bool = False
    trusted: str = ""
    max_age: int = 0


class OcspChecker:
    """Asks OCSP responders. Kept answers and circuit breakers are those of one process."""

    def __init__(self, client: SourceClient, world: World, random: Callable[[int], bytes]) -> None:
        self._client = client
        self._world = world
        self._random = random
        self._answers: dict[str, OcspAnswer] = {}
        self._breakers: dict[str, Breaker] = {}

    async def check(
        self, der: bytes, found: "ClientCertificate", settings: OcspSettings, cache_size: int
    ) -> int:
        """Until when a certificate is known to be good (Unix ns).

        Raises `RevokedError` and `OcspUnavailableError`.
        """
        from protocols.pki.ocsp import CertificateStatus

        key = digest_of(f"{found.fingerprint} {settings!r}")
        answer = self._answers.get(key)
        if answer is None or answer.until <= self._world.now():
            answer = await self._ask(der, found, settings)
            self._remember(key, answer, min(cache_size, MAX_CACHED))
        if answer.status is CertificateStatus.REVOKED:
            raise RevokedError("the certificate was revoked")
        return answer.until

    async def _ask(
        self, der: bytes, found: "ClientCertificate", settings: OcspSettings
    ) -> "OcspAnswer":
        from protocols.pki.certificates import parse_certificate, parse_pem_chain
        from protocols.pki.ocsp import OcspQuestion, responders_of

        leaf = parse_certificate(der)
        trusted = tuple(parse_pem_chain(settings.trusted.encode())) if settings.trusted else ()
        issuer = _issuer(leaf, found, trusted)
        servers = settings.servers or responders_of(leaf)
        if not servers:
            raise OcspUnavailableError(
                "its certificate names no OCSP responder: set ocsp_servers_override"
            )
        within = None if settings.servers else AddressClass.PRIVATE
        question = OcspQuestion(
            leaf=leaf,
            issuer=issuer,
            trusted=trusted,
            nonce=self._random(NONCE_BYTES),
            max_age=settings.max_age,
        )
        try:
            with trio.fail_after(SECONDS):
                return await self._ask_servers(question, servers[:MAX_SERVERS], within, settings)
        except trio.TooSlowError:
            raise OcspUnavailableError(
                f"its OCSP responders do not answer within {SECONDS:g} s"
            ) from None

    async def _ask_servers(
        self,
        question: "OcspQuestion",
        servers: tuple[str, ...],
        within: AddressClass | None,
        settings: OcspSettings,
    ) -> "OcspAnswer":
        """The first answer that says something; with `all_servers`, the one that ends first.

        A revocation that any of them tells counts at once.
        """
        from protocols.pki.ocsp import CertificateStatus

        good: list[OcspAnswer] = []
        failed: list[str] = []
        for url in servers:
            try:
                answer = await self._ask_one(question, url, within)
            except (SourceError, PkiError, CircuitOpen) as error:
                failed.append(_reason(error))
                continue
            if answer.status is CertificateStatus.UNKNOWN:
                failed.append("it does not know the certificate")
                continue
            if answer.status is CertificateStatus.REVOKED or not settings.all_servers:
                return answer
            good.append(answer)
        if failed or not good:
            raise OcspUnavailableError(f"an OCSP responder cannot be relied on: {failed[-1]}")
        return min(good, key=_until)

    async def _ask_one(
        self, question: "OcspQuestion", url: str, within: AddressClass | None
    ) -> "OcspAnswer":
        """Raises `SourceError`, `OcspError`, `CircuitOpen`."""
        from protocols.pki.ocsp import REQUEST_TYPE, RESPONSE_TYPE, read_answer

        with self._breaker(url).guard():
            answer = await self._client.send(
                SourceRequest(
                    source=url,
                    url=url,
                    method="POST",
                    headers={"Content-Type": REQUEST_TYPE, "Accept": RESPONSE_TYPE},
                    content=question.encode(),
                    within=within,
                    plain=True,
                )
            )
            if answer.status != HTTPStatus.OK:
                raise SourceError(f"it answers {answer.status}")
        return read_answer(answer.body, question, self._world.now())

    def _breaker(self, url: str) -> Breaker:
        found = self._breakers.get(url)
        if found is None:
            if len(self._breakers) >= MAX_BREAKERS:
                del self._breakers[next(iter(self._breakers))]
            found = self._breakers[url] = Breaker(
                self._world.monotonic,
                threshold=BREAKER_FAILURES,
                cooldown=BREAKER_SECONDS,
                counts=SourceError,
            )
        return found

    def _remember(self, key: str, answer: "OcspAnswer", size: int) -> None:
        self._answers.pop(key, None)
        while self._answers and len(self._answers) >= max(size, 1):
            del self._answers[next(iter(self._answers))]
        if size > 0:
            self._answers[key] = answer


def _issuer(
    leaf: "Certificate", found: "ClientCertificate", trusted: tuple["Certificate", ...]
) -> "Certificate":
    """Who issued it: the authority that vouches for it, or one that is written down for this."""
    from protocols.pki.certificates import parse_certificate
    from protocols.pki.ocsp import is_issued_by

    if found.issuer:
        return parse_certificate(found.issuer)
    for each in trusted:
        if is_issued_by(leaf, each):
            return each
    raise OcspUnavailableError("its issuer is not known: write it to ocsp_ca_certificates")


def _until(answer: "OcspAnswer") -> int:
    return answer.until


def _reason(error: Exception) -> str:
    if isinstance(error, SourceError):
        return error.reason
    return "it did not answer before" if isinstance(error, CircuitOpen) else str(error)
