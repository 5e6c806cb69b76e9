"""The data path of one process: the nouns over an open store, their handlers, and the pipeline.

    store ─ barrier ─ authn, authz ─ handlers ─ pipeline

Every process of an agent has one of its own. What an agent has once (the audit log's owner, the
seal, the link, work in the background) is in `vault.core`.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Final

import trio

from actors import World
from actors.pacer import Pacer
from actors.periodic import LAST_SECONDS, Job
from vault.authn.aliases import EnabledMounts
from vault.authn.api_keys import ApiKeys
from vault.authn.authenticator import Authenticator, CredentialMethod, LoginTokens
from vault.authn.batch_tokens import BatchTokens
from vault.authn.bearer import api_key_method, token_method
from vault.authn.certificate_credentials import CertificateCredentials
from vault.authn.credential_owners import CredentialOwners
from vault.authn.credential_scheme import API_KEY, BATCH, TOKEN
from vault.authn.credential_usage import CredentialUsage
from vault.authn.cubbyhole import Cubbyholes
from vault.authn.entities import Entities, EntityDirectory
from vault.authn.groups import Groups
from vault.authn.inline_logins import InlineLogins
from vault.authn.jwt.source_client import SourceClient
from vault.authn.jwt_credentials import JwtCredentials, lifetimes_of
from vault.authn.jwt_issuers import make_issuers, mounts_by_path
from vault.authn.jwt_revocation import JwtRevocations
from vault.authn.logins import LoginParts, Logins
from vault.authn.methods.cert import CertMethod
from vault.authn.methods.method import AuthSurface, LoginMethod
from vault.authn.methods.registry import MethodParts, make_login_methods
from vault.authn.methods.token_roles import TokenRoles
from vault.authn.mfa.configuration import MfaConfiguration
from vault.authn.mfa.enforcement import EnforcementRules
from vault.authn.mfa.login_factors import LoginFactorParts, LoginFactors
from vault.authn.mfa.passkeys import RelyingParty
from vault.authn.mfa.second_factors import FactorParts, SecondFactors
from vault.authn.revocation import Revoker
from vault.authn.roles import Roles, load_service_identity
from vault.authn.sessions import SessionLimits, SessionOpener, Sessions
from vault.authn.source_checks import LoginSources, SourceRecords
from vault.authn.stream_registry import StreamRegistry
from vault.authn.tokens import Tokens
from vault.authn.users import Users
from vault.authz.authorizer import Authorizer
from vault.authz.policy import Policy
from vault.authz.policy_store import PolicyStore
from vault.authz.rate_limits import Buckets, Limit, RateLimiter
from vault.authz.record_limits import FailureLimits, RecordLimits, is_loopback
from vault.authz.tickets import DenialTickets
from vault.barrier import ROOT_KEY_CHANGED, Barrier
from vault.cluster.redis import RedisTarget, open_connection
from vault.cluster.shared_limits import LimitKeys, SharedLimits
from vault.config import Settings
from vault.config.password_file import bind_password
from vault.control_link.ports import LinkPorts
from vault.errors import UnavailableError, VaultError
from vault.handlers.access_counters import AccessCounters
from vault.handlers.access_grants import AccessGrantHandlers, AccessGrants
from vault.handlers.adoption import StoredAdoption
from vault.handlers.api_keys import ApiKeyHandlers
from vault.handlers.auth_entries import AuthEntryHandlers
from vault.handlers.auth_mounts import AuthMountHandlers
from vault.handlers.capabilities import CapabilityHandlers
from vault.handlers.change_hub import ChangeHub
from vault.handlers.changes import ChangeHandlers, WatchParts
from vault.handlers.compromise import CompromiseHandlers, Credentials
from vault.handlers.consumer_recorder import LEADER, ConsumerRecorder
from vault.handlers.consumers import ConsumerHandlers, Dependents, find_leased, find_rotated
from vault.handlers.cubbyhole import CubbyholeHandlers
from vault.handlers.database_roles import DatabaseRoleHandlers
from vault.handlers.entities import EntityHandlers
from vault.handlers.groups import GroupHandlers
from vault.handlers.handler import Handlers
from vault.handlers.jwt_revocations import JwtRevocationHandlers
from vault.handlers.lease_targets import LeaseTargets, vault_prefix
from vault.handlers.leases import LeaseHandlers
from vault.handlers.listing import ListingHandlers
from vault.handlers.logins import LoginHandlers
from vault.handlers.malformed_requests import MalformedRequestHandlers
from vault.handlers.metadata import MetadataHandlers
from vault.handlers.mount_moves import MountMoveHandlers
from vault.handlers.mounts import MountHandlers
from vault.handlers.policies import PolicyHandlers
from vault.handlers.read_limits import ReadLimits
from vault.handlers.roles import RoleHandlers
from vault.handlers.rotation_selection import RotationSelectionHandlers
from vault.handlers.rotations import RotationHandlers
from vault.handlers.second_factors import SecondFactorHandlers
from vault.handlers.secrets import SecretHandlers
from vault.handlers.sessions import SessionHandlers
from vault.handlers.source_checks import SourceCheckHandlers
from vault.handlers.static_roles import StaticRoleHandlers
from vault.handlers.stores import (
    AccessStore,
    AuthEntryStore,
    AuthMountStore,
    ConsumerStore,
    GrantStore,
    LeaseStore,
    MountStore,
    MoveStore,
    RotationStore,
    SecretStore,
    StaticRoleStore,
)
from vault.handlers.tokens import TokenHandlers
from vault.handlers.users import UserHandlers
from vault.handlers.versions import VersionHandlers
from vault.handlers.visibility import load_stored_facts
from vault.jobs.refused_report import (
    AUTHENTICATIONS_REFUSED,
    AUTHORIZATIONS_REFUSED,
    REPORT_INTERVAL,
    RefusedReport,
    report_each,
)
from vault.metrics import Metrics
from vault.model.auth_mounts import AuthMountTable
from vault.model.changes import SecretFeed
from vault.model.mounts import MountTable
from vault.model.server_address import ServerTls
from vault.peers import Peers
from vault.pipeline import AuditRecorder, Pipeline, PipelineParts, SnapshotRefresher, StaleReads
from vault.rotation.lease_kinds import LEASE_KINDS
from vault.rotation.rotator import Rotators
from vault.seal.bound_keys import PepperedScheme
from vault.store.bounded_cache import EvictionPolicy
from vault.store.memory_only import use_memory_only
from vault.store.row_cache import CacheConfig
from vault.store.store import Store
from vault.store.tables import API_KEYS, TOKENS, USERS

log: Final = logging.getLogger("freehold.store")

FLUSH_INTERVAL: Final = 10.0
"""Seconds; what a crash may lose of counters that the audit log has too, and how late the other
processes see them."""
FOLLOW_INTERVAL: Final = 0.25
"""Seconds until a live stream is cut, and what looks at a snapshot outside of a request is current,
after a commit of another process."""

_PER_MACHINE: Final = frozenset({Limit.ALL_FAILURES, Limit.ALL_REFUSALS})
"""Limits over all callers: they bound the audit log of one machine."""


@dataclass(frozen=True, kw_only=True)
class DataPathParts:
    """What lies below the nouns."""

    settings: Settings
    metrics: Metrics
    world: World
    store: Store
    barrier: Barrier
    audit: AuditRecorder
    credential_scheme: PepperedScheme
    ceiling: Policy  # of the control plane's policies
    link: LinkPorts
    peers: Peers
    rotators: Rotators
    feed: SecretFeed
    vault: bytes
    """A digest of which vault this is: its leased users are named by it."""
    random: Callable[[int], bytes]
    """For passwords."""
    node: str
    process: int = LEADER
    shared_limits: SharedLimits | None = None
    make_pipeline: Callable[[PipelineParts], Pipeline] = Pipeline


class DataPath:
    """The nouns, wired to each other. Made by `wire_data_path`."""

    def __init__(self, parts: DataPathParts) -> None:
        self.parts = parts
        store, barrier, world, link = parts.store, parts.barrier, parts.world, parts.link
        authentication = parts.settings.authentication
        self.mounts = MountTable()
        """Where the secret engines are mounted."""
        self.auth_mounts = AuthMountTable()
        """Where auth methods are mounted."""
        self.policies = PolicyStore(store, world, parts.ceiling, self.mounts)
        self.authorizer = Authorizer(self.policies)
        self.secrets, self.reads = SecretStore(barrier), AccessStore(barrier)
        self.rotations, self.leases = RotationStore(barrier), LeaseStore(barrier)
        self._lease_targets = LeaseTargets(
            self.leases, LEASE_KINDS, vault_prefix(parts.vault), world
        )
        self.access_counters = AccessCounters(self.reads, world, link.tally.add_reads)
        self.consumers = ConsumerStore(barrier)
        self.consumer_recorder = ConsumerRecorder(self.consumers, world, parts.node, parts.process)
        self.dependents = Dependents(
            [partial(find_rotated, self.rotations), partial(find_leased, self.leases)], world
        )
        self.read_limits = ReadLimits(self.rotations, self.reads, world)
        self.credential_usage = CredentialUsage(store, world, link.tally.add_uses)
        self.streams = StreamRegistry()
        self._streams_checked_at = 0  # transactions that were over
        self.changes = ChangeHub(parts.feed, world)
        self.revoker = Revoker(store, self.streams, world.now)
        limits = self._session_limits = SessionLimits(
            timeout=authentication.session_timeout,
            idle=authentication.session_idle,
            login_idle=authentication.login_idle or 0,
            max_per_user=authentication.max_sessions_per_user,
        )
        scheme = parts.credential_scheme
        self.batch_tokens = BatchTokens(store, scheme, world)
        self._enforcements = rules = EnforcementRules(authentication.mfa.required_for)
        self.tokens = Tokens(
            store,
            scheme,
            self.revoker,
            world,
            limits,
            batch=self.batch_tokens,
            enforcements=rules,
        )
        self.cubbyholes = Cubbyholes(store, scheme, self.revoker, world)
        self.users = Users(store, self.revoker, world)
        self.entities = Entities(store, self.revoker, world, EnabledMounts(self.auth_mounts))
        self.groups = Groups(store, world, EnabledMounts(self.auth_mounts))
        self.keys = ApiKeys(store, scheme, self.revoker, self.credential_usage, world)
        self.owners = CredentialOwners(self.keys, self.tokens, self.users)
        self.mount_handlers = MountHandlers(
            MountStore(barrier), self.mounts, self.authorizer, world
        )
        self.auth_entries = AuthEntryStore(barrier, world)
        self._sources = SourceClient(world)
        known = self._make_methods()
        methods = self.auth.methods
        issuers = (
            ()
            if authentication.jwt is None
            else make_issuers(authentication.jwt, self._sources, world)
        )
        self.jwt_revocations = JwtRevocations(store, lifetimes_of(issuers), world)
        self.jwt = JwtCredentials(
            store,
            issuers,
            mounts_by_path(self.auth_mounts),
            self.jwt_revocations,
            world,
            enforcements=rules,
        )
        """Tokens of trusted issuers."""
        self.login_factors, self.logins = self._make_logins(methods)
        self.source_records = SourceRecords(store, self.revoker, self.auth_mounts)
        self.auth_mount_handlers = AuthMountHandlers(
            AuthMountStore(barrier),
            self.auth_mounts,
            methods,
            known,
            self.authorizer,
            world,
            self.revoker.revoke_tokens,
        )
        self._tickets = DenialTickets(barrier.seal_ticket, barrier.open_ticket)
        self.grants = AccessGrants(  # of access that ends by itself
            GrantStore(barrier, store), self.authorizer, self._stands, world
        )
        self.lockout = parts.peers.lockout()
        self.snapshots = SnapshotRefresher(
            (
                self.policies,
                self.mount_handlers.snapshot,
                self.auth_mount_handlers.snapshot,
                self.grants,
                barrier,
            ),
            store.count_all_transactions,
        )
        self._failures, self._refusals = self._make_limits()

    def _make_logins(self, methods: Mapping[str, LoginMethod]) -> tuple[LoginFactors, Logins]:
        """Both phases of logins, the second one first."""
        store, scheme, world = self.auth_entries, self.parts.credential_scheme, self.parts.world
        sessions = SessionOpener(self._session_limits, self.revoker)
        factors = LoginFactors(
            LoginFactorParts(
                store=store,
                rules=self._enforcements,
                scheme=scheme,
                batch=self.batch_tokens,
                sessions=sessions,
                world=world,
            )
        )
        logins = Logins(
            LoginParts(
                store=store,
                mounts=self.auth_mounts,
                methods=methods,
                directory=EntityDirectory(world),
                scheme=scheme,
                batch=self.batch_tokens,
                world=world,
                factors=factors,
                sessions=sessions,
            )
        )
        return factors, logins

    def _make_methods(self) -> Mapping[str, LoginMethod]:
        """All login methods by type; `auth` has those that settings name."""
        parts = self.parts
        known = make_login_methods(
            MethodParts(
                entries=self.auth_entries,
                scheme=parts.credential_scheme,
                world=parts.world,
                random=parts.random,
                sources=self._sources,
            )
        )
        self.auth_entries.methods = known
        chosen = {TOKEN, *parts.settings.authentication.logins}
        methods = {kind: method for kind, method in known.items() if kind in chosen}
        self.auth = AuthSurface(self.auth_mounts, methods)
        self.certificates = self._make_certificates(methods.get(CertMethod.type))
        """Client certificates that count without a login."""
        return known

    def _make_certificates(self, cert: LoginMethod | None) -> CertificateCredentials | None:
        if not isinstance(cert, CertMethod):
            return None
        parts = self.parts
        return CertificateCredentials(
            parts.store, self.auth_mounts, cert, parts.world, self._enforcements
        )

    def _make_limits(self) -> tuple[FailureLimits, RecordLimits]:
        """How many failures are taken, and how many refusals recorded."""
        settings, world = self.parts.settings.limits, self.parts.world
        failed, denied = settings.failures, settings.refusals
        failures = FailureLimits(
            self._buckets(Limit.FAILURES, failed.per_second, failed.burst_size),
            self._buckets(Limit.ALL_FAILURES, failed.per_second, failed.burst_size, failed.share),
            world.now,
        )
        refusals = RecordLimits(
            self._buckets(Limit.REFUSALS, denied.per_second, denied.burst_size),
            self._buckets(Limit.ALL_REFUSALS, denied.per_second, denied.burst_size, denied.share),
            world.now,
        )
        return failures, refusals

    def handlers(self) -> Handlers:
        """Of all operations that any process runs by itself."""
        secrets, access, world = self.secrets, self.access_counters, self.parts.world
        recorder = self.consumer_recorder
        return {
            **SecretHandlers(
                secrets, self.mounts, access, recorder, self.read_limits, world
            ).handlers(),
            **VersionHandlers(secrets, self.mounts, world).handlers(),
            **MetadataHandlers(secrets, self.mounts, access, world).handlers(),
            **ListingHandlers(secrets, self.authorizer, world).handlers(),
            **ChangeHandlers(
                secrets,
                self.parts.feed,
                self.authorizer,
                recorder,
                WatchParts(self.changes, self.streams, self._stands),
                world,
            ).handlers(),
            **self.mount_handlers.handlers(),
            **self.auth_mount_handlers.handlers(),
            **MountMoveHandlers(
                self.mount_handlers.snapshot,
                self.auth_mount_handlers.snapshot,
                self.mount_handlers.store,
                MoveStore(self.parts.barrier),
                self.authorizer,
                world,
            ).handlers(),
            **AuthEntryHandlers(self.auth_entries, self.logins).handlers(),
            **LoginHandlers(self.logins, self.tokens).handlers(),
            **self._second_factors().handlers(),
            **JwtRevocationHandlers(self.jwt_revocations).handlers(),
            **MalformedRequestHandlers(self.authorizer).handlers(),
            **TokenHandlers(
                self.tokens,
                self.keys,
                self.authorizer,
                world,
                self.logins.check_renewal,
                TokenRoles(self.auth_entries).get,
                self.jwt,
                self.certificates,
            ).handlers(),
            **CubbyholeHandlers(self.cubbyholes).handlers(),
            **SessionHandlers(
                self.tokens,
                Sessions(
                    self.parts.store, self.revoker, self.credential_usage, self.auth_mounts, world
                ),
                self._session_limits,
            ).handlers(),
            **UserHandlers(self.users, self.authorizer).handlers(),
            **EntityHandlers(self.entities).handlers(),
            **GroupHandlers(self.groups).handlers(),
            **SourceCheckHandlers(self.source_records, LoginSources(self.logins), world).handlers(),
            **RoleHandlers(Roles(self.parts.store, world), self.authorizer).handlers(),
            **ApiKeyHandlers(self.keys, self.users, self.authorizer, world).handlers(),
            **RotationHandlers(
                self.rotations,
                self.parts.rotators,
                StoredAdoption(self.consumers),
                self.authorizer,
                world,
            ).handlers(),
            **DatabaseRoleHandlers(
                self.leases, self.mounts, self._lease_targets, self.authorizer, world
            ).handlers(),
            **StaticRoleHandlers(
                StaticRoleStore(self.parts.barrier),
                self.mounts,
                self.parts.rotators,
                self._lease_targets,
                self.authorizer,
                world,
            ).handlers(),
            **LeaseHandlers(
                self.leases,
                self.mounts,
                self._lease_targets,
                self.authorizer,
                world,
                self.parts.settings.dynamic,
                self.parts.random,
                on_unrenewed=partial(
                    log.warning, "a client asks for new credentials and renews none"
                ),
            ).handlers(),
            **ConsumerHandlers(
                self.consumers,
                secrets,
                self.rotations,
                self.dependents,
                self.users,
                self.tokens,
                self.authorizer,
                world,
            ).handlers(),
            **CompromiseHandlers(
                self.consumers,
                secrets,
                self.rotations,
                self.dependents,
                Credentials(self.users, self.tokens, self.keys),
                self.authorizer,
                world,
            ).handlers(),
            **CapabilityHandlers(
                self.authorizer, self.tokens, self.mounts, world, Pacer(world.monotonic)
            ).handlers(),
            **RotationSelectionHandlers(self.rotations, self.authorizer, world).handlers(),
            **AccessGrantHandlers(
                self.grants,
                self.grants.store,
                self._tickets,
                self.authorizer,
                secrets,
                self.mounts,
                self._stands,
                world,
            ).handlers(),
            **PolicyHandlers(
                self.policies,
                self.authorizer,
                self.users,
                secrets,
                self._tickets,
                world,
                self.mounts,
            ).handlers(),
        }

    def _second_factors(self) -> SecondFactorHandlers:
        parts, mfa = self.parts, self.parts.settings.authentication.mfa
        party = RelyingParty.of(mfa.public_url, mfa.issuer) if mfa.public_url else None
        factors = SecondFactors(
            FactorParts(
                store=self.auth_entries,
                scheme=parts.credential_scheme,
                world=parts.world,
                random=parts.random,
                issuer=mfa.issuer,
                party=party,
            )
        )
        configuration = MfaConfiguration(self.auth_entries, self._enforcements, parts.world)
        return SecondFactorHandlers(factors, self.login_factors, configuration, self.tokens)

    def make_pipeline(self, handlers: Handlers) -> Pipeline:
        """The pipeline over these handlers."""
        parts, world = self.parts, self.parts.world
        rate, own = parts.settings.limits.rate, parts.settings.limits.self_service
        return parts.make_pipeline(
            PipelineParts(
                authenticator=self._make_authenticator(),
                inline_logins=InlineLogins(self.logins, parts.store, world, self._enforcements),
                authorizer=self.authorizer,
                limits=RateLimiter(
                    self._buckets(Limit.REQUESTS, rate.requests_per_second, rate.burst_size),
                    world.now,
                ),
                audit=parts.audit,
                load_facts=partial(load_stored_facts, self.secrets),
                load_service_identity=partial(load_service_identity, parts.store),
                handlers=handlers,
                metrics=parts.metrics,
                world=world,
                failures=self._failures,
                refusals=self._refusals,
                self_service=RateLimiter(
                    self._buckets(Limit.SELF_SERVICE, own.per_second, own.burst_size), world.now
                ),
                snapshots=self.snapshots,
                catch_up=parts.store.catch_up,
                commits=lambda: parts.store.commits,
                stale_reads=self._stale_reads(),
                tickets=self._tickets,
                grants=self.grants,
            )
        )

    def _stale_reads(self) -> StaleReads | None:
        limit = self.parts.settings.storage.stale_reads
        return (
            None
            if limit is None
            else (StaleReads(limit, self.parts.store.staleness, use_memory_only))
        )

    def jobs(self) -> list[Job]:
        """What each process does in the background."""
        record, world = self.parts.audit.record, self.parts.world
        return [
            Job("access-counts", FLUSH_INTERVAL, self._flush_access_counts, at_end=True),
            Job("consumers", FLUSH_INTERVAL, self.consumer_recorder.flush),
            Job("credential-usage", FLUSH_INTERVAL, self.credential_usage.flush, at_end=True),
            Job("late-changes", FOLLOW_INTERVAL, self._follow),
            Job(
                "refused-authentications",
                REPORT_INTERVAL,
                partial(
                    report_each,
                    RefusedReport(AUTHENTICATIONS_REFUSED, self._failures, record, world),
                    RefusedReport(AUTHORIZATIONS_REFUSED, self._refusals, record, world),
                ),
                at_end=True,
            ),
        ]

    def _buckets(self, limit: Limit, rate: float, burst: int, share: int = 1) -> Buckets:
        """Those of all processes here and, for a limit of one caller, of all agents."""
        buckets = self.parts.peers.buckets(limit, rate * share, burst * share)
        shared = self.parts.shared_limits
        if shared is None or limit in _PER_MACHINE:
            return buckets
        is_local = is_loopback if limit is Limit.FAILURES else None
        return shared.track(limit, buckets, burst, is_local)

    async def _flush_access_counts(self) -> None:
        await self.access_counters.flush()
        await self.read_limits.apply()

    async def _follow(self) -> None:
        """See what other processes have committed, also while nobody asks."""
        try:
            await self.parts.store.look()  # a node that is silent has to catch up, too
        except UnavailableError:
            return  # `Store.outage` says so, and whoever asks is told
        try:
            await self.snapshots.refresh_stale()
        except UnavailableError as error:
            if error.code != ROOT_KEY_CHANGED:
                raise
            return  # the vault is about to be sealed: a follower that failed would end the process
        ended = sum(self.parts.store.count_transactions(t) for t in (TOKENS, API_KEYS, USERS))
        if ended != self._streams_checked_at:
            pacer = Pacer(self.parts.world.monotonic)
            for credential in self.streams.credentials():
                await pacer.pace()
                if not await self._stands(credential):
                    self.streams.cancel_streams([credential])
            self._streams_checked_at = ended

    async def _stands(self, credential: str) -> bool:
        """Whether a token, by its accessor, or an API key, by its id, is valid now."""
        if await self.tokens.identity_of(credential) is not None:
            return True
        return await self.keys.identity_of(credential, self.parts.world.now()) is not None

    def _make_authenticator(self) -> Authenticator:
        parts, world = self.parts, self.parts.world
        scheme, lockout = parts.credential_scheme, self.lockout
        methods_by_name: dict[str, CredentialMethod] = {
            TOKEN: token_method(parts.store, scheme, lockout, world),
            API_KEY: api_key_method(parts.store, scheme, lockout, world),
            BATCH: self.batch_tokens,
        }
        authentication = parts.settings.authentication
        chosen = {name.replace("_", "-") for name in authentication.methods}
        if TOKEN in chosen:
            chosen.add(BATCH)
        methods = {name: method for name, method in methods_by_name.items() if name in chosen}
        if authentication.logins:
            for name in (TOKEN, BATCH):
                methods.setdefault(name, LoginTokens(methods_by_name[name]))
        return Authenticator(
            scheme,
            methods,
            self.credential_usage,
            world,
            self.jwt if self.jwt.issuers else None,
            certificates=self.certificates,
        )


def make_shared_limits(
    settings: Settings, keys: LimitKeys, node: str, world: World, *, receives: bool
) -> SharedLimits | None:
    """The exchange over `cache.redis`, not running; None: it is not configured."""
    redis = settings.cache.redis
    if redis is None:
        return None
    tls, address = redis.tls, redis.address
    target = RedisTarget(
        address,
        ServerTls(ca_file=tls.ca_file, cert_file=tls.cert_file, key_file=tls.key_file)
        if address.tls
        else None,
        bind_password("cache.redis.password_file", redis.password_file),
    )
    connect = partial(open_connection, target, world)
    return SharedLimits(keys, node, world, connect, receives=receives)


@asynccontextmanager
async def run_change_hub(hub: ChangeHub) -> AsyncIterator[None]:
    """Requests wait for changes within the block; its end ends them."""
    async with trio.open_nursery() as nursery:
        await nursery.start(hub.run)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def run_consumer_recorder(recorder: ConsumerRecorder) -> AsyncIterator[None]:
    """Fetches are recorded within the block; what cannot be written at its end counts as lost."""
    await recorder.open()
    try:
        yield
    finally:
        with trio.move_on_after(LAST_SECONDS, shield=True):
            try:
                await recorder.close()
            except VaultError as error:
                log.warning("who fetched secrets last is not stored: %s", error.code)


async def wire_data_path(parts: DataPathParts) -> DataPath:
    """The data path with what is stored of policies and mounts. Raises `VaultError`."""
    made = DataPath(parts)
    await made.policies.reload()
    await made.mount_handlers.snapshot.reload()
    await made.auth_mount_handlers.snapshot.reload()
    await made.grants.reload()
    return made


class CacheShare(IntEnum):
    """How the bound of the cache is divided among the processes of an agent."""

    WORKER = 4
    LEADER = 1  # it answers few reads


def cache_config(settings: Settings, share: CacheShare) -> CacheConfig:
    """The `cache` section as the store of one process takes it."""
    cache, workers = settings.cache, settings.server.workers
    whole = CacheShare.WORKER * workers + CacheShare.LEADER
    size = cache.max_size if workers == 1 else cache.max_size * share // whole
    policy = EvictionPolicy(cache.eviction_policy)
    return CacheConfig(max_bytes=size, policy=policy, ttl=cache.ttl or 0)
