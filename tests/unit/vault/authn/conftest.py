"""A vault's authentication over a real store on the in-memory backend, with the real scheme."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import trio

from actors.slewed_clock import SlewedClock
from actors.world import SystemWorld
from protocols.instant import SECOND
from vault.authn.api_keys import ApiKeys
from vault.authn.authenticator import Authenticator
from vault.authn.bearer import api_key_method, token_method
from vault.authn.credential_scheme import API_KEY, TOKEN
from vault.authn.credential_usage import CredentialUsage
from vault.authn.lockout import Lockout
from vault.authn.revocation import Revoker
from vault.authn.roles import Roles
from vault.authn.stream_registry import StreamRegistry
from vault.authn.tokens import NewToken, Tokens
from vault.authn.users import Users
from vault.crypto import credentials
from vault.crypto.hmac import HmacKey
from vault.model.identity import Identity, Method
from vault.model.operation import Origin
from vault.store.memory import MemoryBackend
from vault.store.store import Store, open_store

NOW = 1_800_000_000 * 10**9
HERE = Origin(ip="10.0.0.1")
ROOT = Identity(id="r", name="root", method=Method.SERVICE, policies=("root",))


class _Guard:
    """Stamps nothing and believes everything."""

    def stamp(self, _table: str, row: Any, /) -> Any:
        return row

    def check(self, _table: str, row: Any, /) -> None:
        pass


class _World(SystemWorld):
    """A wall clock that the test moves; waits are noted and not waited."""

    def __init__(self) -> None:
        super().__init__()
        self.time = NOW
        self.slept: list[float] = []

    def now(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await trio.lowlevel.checkpoint()


class _Scheme:
    """What `vault.app` hands in: the crypto of credentials with a pepper."""

    def __init__(self) -> None:
        pepper = HmacKey(bytes(32))
        self.mint_token = partial(credentials.mint_token, pepper)
        self.mint_session = partial(credentials.mint_session, pepper)
        self.mint_api_key = partial(credentials.mint_api_key, pepper)
        self.mint_accessor = credentials.mint_accessor
        self.locate = partial(credentials.locate_credential, pepper)
        self.matches = credentials.matches_stored_hash


@dataclass
class _Desk:
    """All of authentication, wired."""

    store: Store
    world: _World
    scheme: _Scheme
    lockout: Lockout
    sessions: StreamRegistry
    usage: CredentialUsage
    clock: SlewedClock
    revoker: Revoker
    tokens: Tokens
    keys: ApiKeys
    users: Users
    roles: Roles
    authenticator: Authenticator

    async def who(self, text: str | None, ip: str = "10.0.0.1") -> Identity:
        return await self.authenticator.authenticate(text, Origin(ip=ip))

    async def root(self) -> tuple[str, Identity]:
        text = (await self.tokens.create_root()).text
        return text, await self.who(text)

    async def token(self, caller: Identity, *policies: str, **more: Any) -> tuple[str, Identity]:
        sudo, orphan = more.pop("sudo", False), more.pop("orphan", False)
        new = NewToken(policies=policies or None, **more)
        text = (await self.tokens.create(caller, new, sudo=sudo, orphan=orphan)).text
        return text, await self.who(text)

    async def stream(self, credential: str) -> None:
        """A stream that must be cut by the revocation of its credential."""
        with trio.fail_after(30):
            with self.sessions.open_stream(credential) as scope:
                await trio.sleep_forever()
            assert scope.cancelled_caught

    async def key(self, user_id: str, *, by: Identity = ROOT, **more: Any) -> tuple[str, Identity]:
        text = (await self.keys.create(by, user_id, "key", **more)).text
        return text, await self.who(text)


@pytest.fixture
async def desk() -> AsyncIterator[_Desk]:
    """Everything of authentication, on an empty store."""
    world, scheme, lockout, sessions = _World(), _Scheme(), Lockout(), StreamRegistry()
    async with open_store(MemoryBackend(), _Guard(), world) as store:
        usage = CredentialUsage(store, world)
        revoker = Revoker(store, sessions, world.now)
        methods = {
            TOKEN: token_method(store, scheme, lockout, world),
            API_KEY: api_key_method(store, scheme, lockout, world),
        }
        yield _Desk(
            store=store,
            world=world,
            scheme=scheme,
            lockout=lockout,
            sessions=sessions,
            usage=usage,
            revoker=revoker,
            tokens=Tokens(store, scheme, revoker, world),
            keys=ApiKeys(store, scheme, revoker, usage, world),
            users=Users(store, revoker, world),
            clock=SlewedClock(NOW, world.now, lambda: (world.time - NOW) / SECOND),
            roles=Roles(store, world),
            authenticator=Authenticator(scheme, methods, usage, world),
        )
