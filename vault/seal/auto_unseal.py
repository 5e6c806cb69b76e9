"""Auto-unseal: opens a vault by its key providers, as soon as there is a vault and one answers."""

import logging
from typing import Final, Protocol

import trio

from actors import World
from vault.errors import TamperedError, UnavailableError
from vault.seal.manager import SealStatus
from vault.seal.root_keys.provider import KeyProviderError

log: Final = logging.getLogger("freehold.seal")

FIRST_RETRY: Final = 1.0  # seconds; doubled each time
LAST_RETRY: Final = 60.0
INIT_INTERVAL: Final = 5.0  # seconds between looks at whether another agent has made the vault
CHECK_INTERVAL: Final = 60.0  # seconds between checks of the provider of an open vault


class Unsealer(Protocol):
    """What is asked of the `SealManager`."""

    @property
    def is_open(self) -> bool:
        """See `SealManager`."""
        ...

    def status(self) -> SealStatus:
        """See `SealManager`."""
        ...

    async def auto_unseal(self) -> bool:
        """See `SealManager`."""
        ...

    async def check_providers(self) -> None:
        """See `SealManager`."""
        ...

    async def wait_reopening_wanted(self) -> None:
        """See `SealManager`."""
        ...


async def run_auto_unseal(
    seal: Unsealer, world: World, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Try until the vault is open or a person is needed; then look after the providers.

    And again when another agent has put another root key in force.

    Started once the first attempt has ended, which raises as `SealManager.auto_unseal` unless it is
    the provider that fails: then the agent starts sealed, and says why.
    """
    try:
        retry = await _attempt(seal)
    except KeyProviderError as error:
        retry = 0 if error.is_final else FIRST_RETRY
    task_status.started()
    while True:
        while retry and not seal.is_open:
            is_made = seal.status().initialized
            await world.sleep(retry * (1 - world.jitter() / 2) if is_made else INIT_INTERVAL)
            retry = await _retry(seal, min(retry * 2, LAST_RETRY))
        if await _wait_for_reopening(seal, world):
            retry = await _retry(seal, FIRST_RETRY)
        else:
            await seal.check_providers()


async def _wait_for_reopening(seal: Unsealer, world: World) -> bool:
    """True once the vault is to be opened anew; False after `CHECK_INTERVAL`."""
    is_wanted = False
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            nonlocal is_wanted
            await seal.wait_reopening_wanted()
            is_wanted = True
            nursery.cancel_scope.cancel()

        nursery.start_soon(wait)
        await world.sleep(CHECK_INTERVAL)
        nursery.cancel_scope.cancel()
    return is_wanted


async def _attempt(seal: Unsealer) -> float:
    """Seconds until the next attempt; 0: the vault is open, or a person is needed."""
    await seal.auto_unseal()
    return 0 if seal.status().initialized else FIRST_RETRY


async def _retry(seal: Unsealer, after: float) -> float:
    """As `_attempt`; `after` errors that may go away."""
    try:
        return await _attempt(seal)
    except KeyProviderError as error:
        return 0 if error.is_final else after
    except TamperedError as error:
        log.error("the vault stays sealed: %s", error)  # noqa: TRY400  # one line tells all
        return 0
    except UnavailableError as error:  # the database is away, or the audit log
        log.warning("the vault is not unsealed yet: %s", error)
        return after
