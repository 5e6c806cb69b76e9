"""What a caller may be shown of things that the request does not name."""

from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.handlers.handler import Call
from vault.handlers.stores import SecretStore
from vault.model.operation import NO_FACTS, Capability, SecretFacts
from vault.model.path import ResourcePath
from vault.model.records import SecretRow

_USERS = ResourcePath.parse_folder("sys/users/")
_ACCESSORS = ResourcePath.parse("auth/token/accessors")


def secret_facts(row: SecretRow) -> SecretFacts:
    """What a policy condition may ask about this secret."""
    return SecretFacts(exists=True, tags=frozenset(row.tags), metadata=row.metadata)


async def load_stored_facts(
    secrets: SecretStore, path: ResourcePath, *, in_full: bool
) -> SecretFacts:
    """The facts as they are stored; unless `in_full`, whether the secret exists may be all."""
    if not in_full and (exists := secrets.exists(path)) is not None:
        return SecretFacts(exists=exists)
    row = await secrets.get(path)
    return NO_FACTS if row is None else secret_facts(row)


def _no_facts(_: SecretRow) -> SecretFacts:
    """Used when no rule depends on facts."""
    return NO_FACTS


def may_read(  # what decides
    authorizer: Authorizer, call: Call[object], path: ResourcePath, row: SecretRow | None, now: int
) -> bool:
    """Whether the caller may read the value of this secret, or in this folder, as well."""
    access = AccessRequest(
        capability=Capability.READ,
        path=path,
        identity=call.identity,
        origin=call.op.origin,
        facts=NO_FACTS if row is None else secret_facts(row),
        now=now,
    )
    return authorizer.decide(access).allowed


class Visibility:
    """What one caller may see at one moment: as a request for each thing would be decided."""

    def __init__(
        self, authorizer: Authorizer, call: Call[object], now: int, listed: str = ""
    ) -> None:
        """It keeps the policies of now: make one for each response. `listed`: a folder's list."""
        self._policies = authorizer.compiled_policies(call.identity)
        self._call = call
        self._now = now
        self.is_listed = authorizer.list_filter(call.identity, call.op.origin, now, listed)
        """Whether the caller may see a name in a list. Arguments: name, facts of the secret."""
        self.needs_facts = self._policies.needs_facts
        self._facts = secret_facts if self.needs_facts else _no_facts

    def can_list(self, row: SecretRow) -> bool:
        """Whether the caller may see its name in a list."""
        return self.is_listed(row.name, self._facts(row))

    def can_read_metadata(self, row: SecretRow) -> bool:
        """Whether the caller may read its metadata."""
        path, facts = ResourcePath.parse(row.name), self._facts(row)
        return self._is_allowed(Capability.READ_METADATA, path, facts) or self._is_allowed(
            Capability.READ, path, facts
        )

    def can_update(self, row: SecretRow) -> bool:
        """Whether the caller may write it."""
        return self._is_allowed(Capability.UPDATE, ResourcePath.parse(row.name), self._facts(row))

    def can_read_removed(self, path: ResourcePath) -> bool:
        """Whether the caller may read a secret of this name, or its metadata, if it has no facts.

        As a request for one that is not there is decided.
        """
        return self._is_allowed(Capability.READ_METADATA, path, NO_FACTS) or self._is_allowed(
            Capability.READ, path, NO_FACTS
        )

    def can_list_users(self) -> bool:
        """Whether the caller may list the users."""
        return self._is_allowed(Capability.LIST, _USERS, NO_FACTS)

    def can_list_accessors(self) -> bool:
        """Whether the caller may list the accessors of tokens."""
        return self._is_allowed(Capability.SUDO, _ACCESSORS, NO_FACTS)

    def _is_allowed(self, capability: Capability, path: ResourcePath, facts: SecretFacts) -> bool:
        access = AccessRequest(
            capability=capability,
            path=path,
            identity=self._call.identity,
            origin=self._call.op.origin,
            facts=facts,
            now=self._now,
        )
        return self._policies.decide(access).allowed
