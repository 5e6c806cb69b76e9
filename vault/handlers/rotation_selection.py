"""Which secrets a caller's rotation of many is about, by folder and tags."""

from dataclasses import dataclass
from typing import Final

from actors.pacer import Pacer
from actors.world import World
from vault import operations
from vault.authz.authorizer import Authorizer
from vault.errors import AuthorizationError, ValidationError, VaultError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.rotation_schedule import load_effective_policy
from vault.handlers.rotations import (
    check_limit,
    policy_missing,
    rotation_running,
    secret_not_live,
    without_value,
)
from vault.handlers.secrets import is_live
from vault.handlers.stores import RotationStore
from vault.handlers.visibility import Visibility
from vault.model.payloads import SelectRotations
from vault.model.records import SecretRow
from vault.model.results import RotationSelection, SelectedSecret
from vault.rotation import machine

MAX_SCANNED: Final = 20_000  # secrets that are looked at before the answer ends with a cursor
_PAGE: Final = 1_000


@dataclass(frozen=True)
class RotationSelectionHandlers:
    """The handler of `rotation.select`. It changes nothing: each rotation begins by itself."""

    store: RotationStore
    authorizer: Authorizer
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.SELECT_ROTATIONS,
                run=self.select,
                capability=None,
                discloses=lambda found: bool(found.secrets or found.hidden),
                audit_response=lambda found: {
                    "count": len(found.secrets),
                    "hidden": found.hidden,
                },
            )
        )

    async def select(self, call: Call[SelectRotations]) -> RotationSelection:
        """Secrets in the folder that have the tags, and of each whether a rotation can begin.

        One that the caller may list, but whose tags the caller may not read, is counted as hidden.
        One that the caller may not even list is as good as not there. Raises `ValidationError`.
        """
        payload, folder = call.payload, call.op.path
        check_limit(payload.limit)
        if not folder and not payload.tags:
            raise ValidationError(
                "selection_empty", "give a folder, or tags: not all secrets at once", field="tags"
            )
        visibility = Visibility(self.authorizer, call, self.world.now())
        pacer = Pacer(self.world.monotonic)
        after = self.store.open_cursor(payload.cursor) if payload.cursor else ""
        found, wanted, hidden, scanned = list[SelectedSecret](), set(payload.tags), 0, 0
        while True:
            page = await self.store.list_secrets(folder, after, _PAGE)
            for secret in page:
                await pacer.pace()
                after, scanned = secret.name, scanned + 1
                if not visibility.can_read_metadata(secret):
                    hidden += visibility.can_list(secret)
                elif wanted <= set(secret.tags):
                    found.append(await self._look_at(secret, visibility, payload.since))
                if len(found) == payload.limit or scanned == MAX_SCANNED:
                    cursor = self.store.seal_cursor(after)
                    return RotationSelection(secrets=found, hidden=hidden, cursor=cursor)
            if len(page) < _PAGE:
                return RotationSelection(secrets=found, hidden=hidden, cursor="")

    async def _look_at(
        self, secret: SecretRow, visibility: Visibility, since: int
    ) -> SelectedSecret:
        """Whether a rotation of it can begin, as `rotation.begin` would say."""
        if not visibility.can_update(secret):
            return _refused(
                secret,
                AuthorizationError(
                    "permission_denied", "permission denied: update of it is not allowed"
                ),
            )
        latest = await self.store.get_latest(secret.id)
        if latest is not None and 0 < since <= latest.began_at:
            return SelectedSecret(path=secret.name, rotation=without_value(latest))
        policy = (await load_effective_policy(self.store, secret)).policy
        if policy is None:
            return _refused(secret, policy_missing())
        if latest is not None and not machine.is_over(latest):
            return _refused(secret, rotation_running(latest))
        version = await self.store.get_version(secret.id, secret.current_version)
        if version is None or not is_live(version, self.world.now()):
            return _refused(secret, secret_not_live())
        return SelectedSecret(path=secret.name)


def _refused(secret: SecretRow, error: VaultError) -> SelectedSecret:
    return SelectedSecret(path=secret.name, code=error.code, message=error.message)
