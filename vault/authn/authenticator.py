"""Step 1 of the pipeline: the text that was presented becomes an identity, or one plain refusal."""

from collections.abc import Mapping
from typing import Final, Protocol

from actors.world import World
from vault.authn.credential_scheme import MAX_CREDENTIAL_BYTES, CredentialScheme, LocatedCredential
from vault.authn.credential_usage import CredentialUsage
from vault.authn.jwt.compact import MAX_TOKEN, looks_like_token
from vault.errors import AuthenticationError
from vault.model.identity import Identity
from vault.model.operation import Origin

REFUSAL_DELAY: Final = 0.01
"""A refusal takes this long from its start: a row found in the cache, in the database or nowhere
then looks the same from outside (a cold read is 0.1 to 1 ms), and guessing has a pace."""


class CredentialMethod(Protocol):
    """One way of proving who one is, by something that is looked up."""

    async def identify(
        self, located: LocatedCredential, origin: Origin, *, use: bool = True
    ) -> Identity | None:
        """Return the identity, or None for whatever reason it is not proven.

        Unless it is a `use`, nothing is counted or spent: another call follows that is one.
        """
        ...


class TokenVerifier(Protocol):
    """Tokens of other issuers, which are found nowhere (`vault.authn.jwt_credentials`)."""

    async def identify(self, text: str) -> Identity | None:
        """Return the holder, or None; raises `UnavailableError` where nobody can say."""
        ...


class CertificateVerifier(Protocol):
    """Certificates that count without a login (`vault.authn.certificate_credentials`)."""

    async def identify(self, origin: Origin) -> Identity | None:
        """Return the holder, or None; raises `UnavailableError` where nobody can say."""
        ...


class LoginTokens:
    """Tokens of logins alone, where `authentication.methods` names logins and no other tokens."""

    def __init__(self, tokens: CredentialMethod) -> None:
        self._tokens = tokens

    async def identify(
        self, located: LocatedCredential, origin: Origin, *, use: bool = True
    ) -> Identity | None:
        """As `CredentialMethod.identify`."""
        found = await self._tokens.identify(located, origin, use=use)
        return found if found is not None and found.mount else None


class Authenticator:
    """The registry of methods by kind of credential."""

    def __init__(
        self,
        scheme: CredentialScheme,
        methods: Mapping[str, CredentialMethod],
        usage: CredentialUsage,
        world: World,
        verifier: TokenVerifier | None = None,
        *,
        certificates: CertificateVerifier | None = None,
    ) -> None:
        """`verifier`: of signed tokens; None: none counts. `certificates`: the same of these."""
        self._verifier = verifier
        self._certificates = certificates
        self._scheme = scheme
        self._methods = dict(methods)
        self._usage = usage
        self._world = world

    async def authenticate(self, credential: str | None, origin: Origin) -> Identity:
        """Return who is asking; no wait when all rows are cached.

        Raises `AuthenticationError`, the same for no credential and for one that is unknown, wrong,
        expired, revoked, spent or locked out, or whose user is disabled. Raises
        `UnavailableError` when the store does.
        """
        started = self._world.monotonic()
        identity = await self.find_identity(credential, origin)
        if identity is not None:
            return identity
        await self._wait(started)
        raise AuthenticationError("unauthenticated", "permission denied")

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """Whether `authenticate` would succeed; counts and spends nothing.

        To be followed by `authenticate`, whatever the answer: it counts failures.
        """
        started = self._world.monotonic()
        if self._certificates is not None and not credential:
            known = await self._certificates.identify(origin) is not None
        elif (verifier := self._verifier_of(credential)) is not None:
            known = not origin.browser and await verifier.identify(credential or "") is not None
        else:
            method, located = self._method(credential)
            if method is None or located is None:
                return False
            known = await method.identify(located, origin, use=False) is not None
        if not known:
            await self._wait(started)
        return known

    async def _wait(self, started: float) -> None:
        left = started + REFUSAL_DELAY - self._world.monotonic()
        await self._world.sleep(max(0.0, left))

    async def find_identity(self, credential: str | None, origin: Origin) -> Identity | None:
        """Return who is asking, and count the use; None at once where `authenticate` refuses.

        Of a signed token or a certificate nothing is counted: that would be a row of it.
        """
        if self._certificates is not None and not credential:
            return await self._certificates.identify(origin)
        if (verifier := self._verifier_of(credential)) is not None:
            return None if origin.browser else await verifier.identify(credential or "")
        method, located = self._method(credential)
        if method is None or located is None:
            return None
        identity = await method.identify(located, origin)
        if identity is not None:
            self._usage.count_use(identity.credential)
        return identity

    def _verifier_of(self, credential: str | None) -> TokenVerifier | None:
        """What a credential is verified by; None: it is looked up."""
        if self._verifier is None or not credential or len(credential) > MAX_TOKEN:
            return None
        return self._verifier if looks_like_token(credential) else None

    def _method(
        self, credential: str | None
    ) -> tuple[CredentialMethod | None, LocatedCredential | None]:
        if not credential or len(credential) > MAX_CREDENTIAL_BYTES:
            return None, None
        located = self._scheme.locate(credential)
        return self._methods.get(located.kind), located
