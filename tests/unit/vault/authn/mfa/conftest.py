"""Second factors over a real barrier, with a clock that the test moves."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from actors.world import SystemWorld
from protocols.instant import SECOND
from tests.support.totp import App
from vault.authn.batch_tokens import BatchTokens
from vault.authn.credential_validity import token_identity
from vault.authn.methods.method import EntryTx, RowTx
from vault.authn.mfa.configuration import MfaConfiguration
from vault.authn.mfa.enforcement import Enforcement, EnforcementRules
from vault.authn.mfa.login_factors import LoginDraft, LoginFactorParts, LoginFactors
from vault.authn.mfa.proof import Proof
from vault.authn.mfa.second_factors import FactorParts, SecondFactors
from vault.authn.revocation import Revoker
from vault.authn.sessions import SessionLimits, SessionOpener
from vault.authn.stream_registry import StreamRegistry
from vault.authn.tokens import IssuedToken, Tokens
from vault.barrier import Barrier, HmacRowGuard
from vault.crypto.keyring import Keyring
from vault.errors import VaultError
from vault.handlers.stores import AuthEntryStore
from vault.model.auth_mounts import MFA_MOUNT
from vault.model.identity import Identity, Method
from vault.model.records import AuthMountRow, TokenRow, UserRow
from vault.seal.bound_keys import PepperedScheme
from vault.store.memory import MemoryBackend
from vault.store.store import Store, open_store
from vault.store.tables import AUTH_MOUNTS, TOKENS, USERS

NOW = 1_800_000_000 * SECOND
STEP = 30 * SECOND
ROOT = Identity(id="r", name="root", method=Method.TOKEN, policies=("root",))
MOUNT = AuthMountRow(
    id="m", path="people/", accessor="acc", type="userpass", created_at=1, updated_at=1
)
T = TypeVar("T")


class World(SystemWorld):
    """A wall clock that the test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.time = NOW

    def now(self) -> int:
        """As the test has set it."""
        return self.time


@dataclass
class Desk:
    """Factors, logins that wait, and what they are stored in."""

    store: Store
    entries: AuthEntryStore
    world: World
    factors: SecondFactors
    logins: LoginFactors
    configuration: MfaConfiguration

    async def entity(self, name: str = "ann", **fields: Any) -> UserRow:
        """An entity."""
        row = UserRow(id=f"id-{name}", username=name, name_key=name, created_at=1, updated_at=1)
        row = UserRow(**{**{k: getattr(row, k) for k in row.__struct_fields__}, **fields})
        await self.store.commit(lambda tx: tx.put(USERS, row))
        return row

    async def token(self, entity: UserRow, name: str = "t", **fields: Any) -> TokenRow:
        """A token of an entity."""
        row = draft(entity, id=name, accessor=f"acc-{name}", secret_hash=b"x", **fields)
        await self.store.commit(lambda tx: tx.put(TOKENS, row))
        return row

    async def caller(self, row: TokenRow) -> Identity:
        """Whom a token stands for now."""

        def find(tx: Any) -> Identity | None:
            return token_identity(tx.get, tx.get(TOKENS, row.id), self.world.now())

        found = await self.store.commit(find)
        assert found is not None
        return found

    def make_tokens(self) -> Tokens:
        """Over the same store."""
        scheme = PepperedScheme(Keyring.create(NOW, org="org", vault="vault").pepper)
        revoker = Revoker(self.store, StreamRegistry(), self.world.now)
        return Tokens(self.store, scheme, revoker, self.world)

    async def enrol(self, row: TokenRow) -> tuple[App, tuple[str, ...]]:
        """An authenticator app of the token's entity, and the recovery codes."""
        made = await self.factors.begin_totp(await self.caller(row), row, "phone")
        app = App(made.url)
        code = app.at(self.world.time / SECOND)
        enrolled = await self.factors.confirm_totp(await self.caller(row), row, code)
        return app, enrolled.recovery_codes

    def code(self, app: App, steps: int = 0) -> str:
        """The code of now, or of so many steps later."""
        return app.at(self.world.time / SECOND + steps * 30)

    def wrong(self, app: App) -> Proof:
        """A code that is of no time near now."""
        return Proof(passcode=app.wrong_code(self.world.time / SECOND))

    async def enforce(self, name: str = "e", **fields: Any) -> None:
        """An enforcement; without more, of the mount and by an authenticator app."""
        wanted = Enforcement(**({"methods": ("totp",), "types": ("userpass",)} | fields))
        await self.configuration.write_enforcement(name, wanted)

    async def log_in(self, entity: UserRow, proof: Proof | None = None, **row: Any) -> Any:
        """What comes of a login whose password was right."""
        request_id = self.logins.new_request_id()

        def change(entries: EntryTx, rows: RowTx) -> Any:
            login = LoginDraft(
                mount=MOUNT, row=draft(entity, **row), is_batch=False, address="192.0.2.7"
            )
            return self.logins.admit(entries, rows, login, request_id=request_id, proof=proof)

        return await self.entries.transact_rows(MFA_MOUNT.id, change)

    async def waiting(self, entity: UserRow, **row: Any) -> str:
        """The id of a login that waits."""
        admission = await self.log_in(entity, **row)
        assert admission.requirement is not None
        return str(admission.requirement.request_id)

    async def finish(self, request_id: str, proof: Proof) -> IssuedToken:
        """The second phase."""
        return await self.logins.finish(await self.logins.find(request_id), proof)


def draft(entity: UserRow, **fields: Any) -> TokenRow:
    """A token's row."""
    given = {
        "id": "",
        "accessor": "",
        "secret_hash": b"",
        "user_id": entity.id,
        "policies": ["default"],
        "created_at": NOW,
        "issued_at": NOW,
        "ttl": 3600 * SECOND,
        "expires_at": NOW + 3600 * SECOND,
        "mount_id": MOUNT.id,
    }
    return TokenRow(**(given | fields))


async def refused(run: Callable[[], Awaitable[object]]) -> str:
    """The code of the error."""
    try:
        await run()
    except VaultError as error:
        return error.code
    return ""


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A vault with one auth mount."""
    world = World()
    keyring = Keyring.create(NOW, org="org", vault="vault")
    async with open_store(MemoryBackend(), HmacRowGuard(keyring), world) as store:
        barrier = Barrier(store, keyring, bytes(32), world)
        await barrier.load_use_counter()
        await store.commit(lambda tx: tx.put(AUTH_MOUNTS, MOUNT))
        entries, scheme = AuthEntryStore(barrier, world), PepperedScheme(keyring.pepper)
        rules = EnforcementRules()
        revoker = Revoker(store, StreamRegistry(), world.now)
        yield Desk(
            store,
            entries,
            world,
            SecondFactors(
                FactorParts(store=entries, scheme=scheme, world=world, random=os.urandom)
            ),
            LoginFactors(
                LoginFactorParts(
                    store=entries,
                    rules=rules,
                    scheme=scheme,
                    batch=BatchTokens(store, scheme, world),
                    sessions=SessionOpener(SessionLimits(), revoker),
                    world=world,
                )
            ),
            MfaConfiguration(entries, rules, world),
        )
