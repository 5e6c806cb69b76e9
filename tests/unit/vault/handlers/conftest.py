"""An open vault in memory: the real barrier, policies, credentials and handlers, no audit log."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from actors.tree import Node
from actors.world import SystemWorld
from vault.authn.api_keys import ApiKeys
from vault.authn.authenticator import Authenticator
from vault.authn.batch_tokens import BatchTokens
from vault.authn.bearer import token_method
from vault.authn.credential_scheme import BATCH, TOKEN
from vault.authn.credential_usage import CredentialUsage
from vault.authn.jwt.source_client import SourceClient
from vault.authn.lockout import Lockout
from vault.authn.logins import LoginParts, Logins
from vault.authn.methods.method import NoDirectory
from vault.authn.methods.registry import MethodParts, make_login_methods
from vault.authn.methods.token_roles import TokenRoles
from vault.authn.mfa.enforcement import NO_ENFORCEMENTS
from vault.authn.mfa.login_factors import LoginFactorParts, LoginFactors
from vault.authn.revocation import Revoker
from vault.authn.roles import Roles
from vault.authn.sessions import SessionLimits, SessionOpener
from vault.authn.stream_registry import StreamRegistry
from vault.authn.tokens import IssuedToken, Tokens
from vault.authn.users import Users
from vault.authz.authorizer import Authorizer
from vault.authz.policy_store import PolicyStore
from vault.authz.tickets import DenialTickets
from vault.barrier import Barrier, HmacRowGuard
from vault.crypto.keyring import Keyring
from vault.handlers.access_counters import AccessCounters
from vault.handlers.api_keys import ApiKeyHandlers
from vault.handlers.auth_entries import AuthEntryHandlers
from vault.handlers.auth_mounts import AuthMountHandlers
from vault.handlers.consumer_recorder import ConsumerRecorder
from vault.handlers.handler import Call, Handlers
from vault.handlers.listing import ListingHandlers
from vault.handlers.logins import LoginHandlers
from vault.handlers.metadata import MetadataHandlers
from vault.handlers.mount_moves import MountMoveHandlers
from vault.handlers.mounts import MountHandlers
from vault.handlers.policies import PolicyHandlers
from vault.handlers.read_limits import ReadLimits
from vault.handlers.rewrap import KeyRewrapper
from vault.handlers.roles import RoleHandlers
from vault.handlers.secrets import SecretHandlers
from vault.handlers.stores import (
    AccessStore,
    AuthEntryStore,
    AuthMountStore,
    ConsumerStore,
    KeyStore,
    MountStore,
    MoveStore,
    RotationStore,
    SecretStore,
)
from vault.handlers.system import SystemHandlers
from vault.handlers.tokens import TokenHandlers
from vault.handlers.users import UserHandlers
from vault.handlers.versions import VersionHandlers
from vault.handlers.visibility import secret_facts
from vault.model.auth_mounts import AuthMountTable
from vault.model.identity import Identity, Method
from vault.model.mounts import MountTable
from vault.model.operation import NO_FACTS, Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import (
    EnableAuth,
    Nothing,
    RunAuthAction,
    TuneAuth,
    WriteEntry,
    WritePolicy,
    WriteSecret,
)
from vault.model.records import MountRow, SecretRow, VersionRow
from vault.model.results import SecretWritten, StoredEntry
from vault.seal.bound_keys import PepperedScheme
from vault.store.memory import MemoryBackend
from vault.store.store import Store, open_store
from vault.store.table import StoreQuery, Table
from vault.store.tables import MOUNTS, SECRETS, VERSIONS

NOW = 1_800_000_000 * 10**9
SECOND = 10**9
ROOT = Identity(id="root", name="root", method=Method.TOKEN, policies=("root",), credential="acc")
HERE = Origin(ip="10.0.0.1")


class StillWorld(SystemWorld):
    """The real world with a clock that the test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.time = NOW

    def now(self) -> int:
        """As set."""
        return self.time

    async def sleep(self, _seconds: float) -> None:
        """At once."""
        await trio.lowlevel.checkpoint()


@dataclass
class House:
    """All of a vault behind its pipeline; `do` is the pipeline without its other steps."""

    store: Store
    barrier: Barrier
    world: StillWorld
    mounts: MountTable
    access: AccessCounters
    recorder: ConsumerRecorder
    read_limits: ReadLimits
    sessions: StreamRegistry
    tokens: Tokens
    users: Users
    keys: ApiKeys
    book: PolicyStore
    handlers: Handlers
    sealings: list[str]
    logins: Logins
    login_parts: LoginParts
    revoker: Revoker
    usage: CredentialUsage
    auth_mounts: AuthMountTable
    authenticator: Authenticator

    async def log_in(self, path: str, origin: Origin = HERE, **fields: Any) -> IssuedToken:
        """As the pipeline: who it is, then the token."""
        verified = await self.logins.verify(path, fields, origin)
        return await self.logins.issue(verified)

    async def enable(self, kind: str, path: str = "", **settings: Any) -> None:
        """Enable an auth method."""
        payload = EnableAuth(type=kind, tune=TuneAuth(**settings))
        await self.do("auth.mount.enable", f"sys/auth/{path or kind}", payload)

    async def put_entry(self, kind: str, place: str, **fields: Any) -> StoredEntry:
        """Write an entry; `place` is below `auth/`."""
        mount, _, rest = place.partition("/")
        name = rest.rpartition("/")[2]
        payload = WriteEntry(mount=f"{mount}/", kind=kind, name=name, fields=fields)
        written: StoredEntry = await self.do("auth.entry.write", f"auth/{place}", payload)
        return written

    async def act(self, action: str, place: str, name: str, **fields: Any) -> Any:
        """Have a method do something; `place` is below `auth/`."""
        payload = RunAuthAction(
            mount=place.partition("/")[0] + "/", action=action, name=name, fields=fields
        )
        result = await self.do("auth.action.update", f"auth/{place}", payload)
        return result.fields

    async def do(
        self,
        name: str,
        path: str,
        payload: object = None,
        *,
        by: Identity = ROOT,
        needs_facts: bool = False,
        **facts: Any,
    ) -> Any:
        """Run a handler; of a secret, with the facts that the pipeline would have looked up."""
        handler = self.handlers[name]
        place = _place(path)
        found = NO_FACTS
        if handler.targets_secret:
            row = await self.barrier.get(SECRETS, place)
            found = NO_FACTS if row is None else secret_facts(row)
        if facts:
            found = replace(found, **facts)
        op = Operation(
            type=OperationType(name), path=place, payload=Nothing() if payload is None else payload,
            request_id="r", credential=None, origin=HERE,
        )  # fmt: skip
        return await handler.run(Call(op, by, found, needs_facts))

    async def write(self, path: str, value: bytes = b'{"a":1}', **more: Any) -> SecretWritten:
        """A version of a secret."""
        written: SecretWritten = await self.do(
            "secret.write", path, WriteSecret(value=value, **more)
        )
        return written

    async def head(self, path: str) -> SecretRow | None:
        """What is stored of a secret."""
        return await self.barrier.get(SECRETS, path)

    async def version(self, secret_id: str, number: int) -> VersionRow | None:
        """What is stored of a version."""
        return await self.barrier.get(VERSIONS, secret_id, number)

    async def allow(
        self, name: str, *paths: str, capabilities: tuple[str, ...], **more: Any
    ) -> Identity:
        """A policy that allows this, and somebody who has it."""
        rule = {"effect": "allow", "paths": list(paths), "capabilities": list(capabilities)} | more
        await self.do(
            "policy.write", f"sys/policies/{name}", WritePolicy(document={"rules": [rule]})
        )
        return Identity(id=name, name=name, method=Method.TOKEN, policies=(name,))

    def overtake(self, path: str, times: int) -> None:
        """From now on each look at this secret's head is followed by a write, so many times."""
        barrier, left = self.barrier, times
        get, select = barrier.get, barrier.select

        async def write() -> None:
            nonlocal left
            left -= 1
            barrier.get, barrier.select = get, select  # what a write looks at is not overtaken
            await self.write(path)
            if left:
                barrier.get, barrier.select = watched_get, watched_select

        async def watched_get(table: Table[Any], *key: str | int) -> Any:
            found = await get(table, *key)
            if table is SECRETS:
                await write()
            return found

        async def watched_select(table: Table[Any], query: StoreQuery) -> list[Any]:
            found = await select(table, query)
            if table is SECRETS:
                await write()
            return found

        barrier.get, barrier.select = watched_get, watched_select

    async def mount(self, path: str, **settings: Any) -> None:
        """A mount with these settings."""
        row = _mount(path, **settings)
        await self.barrier.transact(lambda tx: tx.put(MOUNTS, row))
        self.mounts.replace([*self.mounts.list_mounts(), row])


def _mount(path: str, **settings: Any) -> MountRow:
    return MountRow(path=path, id=path, accessor=path, created_at=NOW, **settings)


def _place(path: str) -> ResourcePath:
    folder = not path or path.endswith("/")
    return ResourcePath.parse_folder(path) if folder else ResourcePath.parse(path)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A vault with mounts and nothing in them."""
    world, sessions = StillWorld(), StreamRegistry()
    mounts = MountTable(
        _mount(path)
        for path in (
            "secret/",
            "a/",
            "ab/",
            "b/",
            "m/",
            "n/",
            "s/",
            "s3/",
            "s4/",
            "s5/",
            "s6/",
            "t/",
        )
    )
    keyring = Keyring.create(NOW, org="org", vault="vault")
    async with open_store(MemoryBackend(), HmacRowGuard(keyring), world) as store:
        barrier = Barrier(store, keyring, bytes(32), world)
        await barrier.load_use_counter()
        await barrier.transact(
            lambda tx: [tx.put(MOUNTS, row) for row in mounts.list_mounts()],
        )
        book, usage = PolicyStore(store, world), CredentialUsage(store, world)
        authorizer, scheme = Authorizer(book), PepperedScheme(keyring.pepper)
        revoker = Revoker(store, sessions, world.now)
        batch = BatchTokens(store, scheme, world)
        tokens = Tokens(store, scheme, revoker, world, batch=batch)
        users = Users(store, revoker, world)
        entries = AuthEntryStore(barrier, world)
        methods = make_login_methods(
            MethodParts(
                entries=entries,
                scheme=scheme,
                world=world,
                random=os.urandom,
                sources=SourceClient(world),
            )
        )
        entries.methods, table = methods, AuthMountTable()
        opener = SessionOpener(
            SessionLimits(timeout=768 * 3600 * SECOND, idle=24 * 3600 * SECOND), revoker
        )
        factors = LoginFactors(
            LoginFactorParts(
                store=entries, rules=NO_ENFORCEMENTS, scheme=scheme, batch=batch, sessions=opener,
                world=world,
            )
        )  # fmt: skip
        login_parts = LoginParts(
            store=entries, mounts=table, methods=methods, directory=NoDirectory(),
            scheme=scheme, batch=batch, world=world, factors=factors, sessions=opener,
        )  # fmt: skip
        logins = Logins(login_parts)
        auth_mounts = AuthMountHandlers(
            AuthMountStore(barrier), table, methods, methods, authorizer, world,
            revoker.revoke_tokens,
        )  # fmt: skip
        mount_handlers = MountHandlers(MountStore(barrier), mounts, authorizer, world)
        keys = ApiKeys(store, scheme, revoker, usage, world)
        secrets, key_store = SecretStore(barrier), KeyStore(barrier)
        access = AccessCounters(AccessStore(barrier), world)
        recorder = ConsumerRecorder(ConsumerStore(barrier), world, "node", 0)
        await recorder.open()
        limits = ReadLimits(RotationStore(barrier), AccessStore(barrier), world)
        sealings: list[str] = []

        async def order_seal() -> None:
            sealings.append("ordered")

        handlers = {
            **SecretHandlers(
                secrets, mounts, access, recorder, limits, world
            ).handlers(),
            **VersionHandlers(secrets, mounts, world).handlers(),
            **MetadataHandlers(secrets, mounts, access, world).handlers(),
            **ListingHandlers(secrets, authorizer, world).handlers(),
            **TokenHandlers(
                tokens, keys, authorizer, world, logins.check_renewal, TokenRoles(entries).get
            ).handlers(),
            **auth_mounts.handlers(),
            **MountMoveHandlers(
                mount_handlers.snapshot,
                auth_mounts.snapshot,
                mount_handlers.store,
                MoveStore(barrier),
                authorizer,
                world,
            ).handlers(),
            **AuthEntryHandlers(entries, logins).handlers(),
            **LoginHandlers(logins, tokens).handlers(),
            **UserHandlers(users, authorizer).handlers(),
            **RoleHandlers(Roles(store, world), authorizer).handlers(),
            **ApiKeyHandlers(keys, users, authorizer, world).handlers(),
            **PolicyHandlers(
                book,
                authorizer,
                users,
                secrets,
                DenialTickets(barrier.seal_ticket, barrier.open_ticket),
                world,
            ).handlers(),
            **SystemHandlers(
                key_store, lambda: sealings.append("sealed"), order_seal,
                lambda: Node("agent", "unit", "running"), KeyRewrapper(key_store),
            ).handlers(),
        }  # fmt: skip
        yield House(
            store,
            barrier,
            world,
            mounts,
            access,
            recorder,
            limits,
            sessions,
            tokens,
            users,
            keys,
            book,
            handlers,
            sealings,
            logins,
            login_parts,
            revoker,
            usage,
            table,
            Authenticator(
                scheme,
                {TOKEN: token_method(store, scheme, Lockout(), world), BATCH: batch},
                usage,
                world,
            ),
        )
