"""The design's section `backup`: when backups are made, where they are kept, and for how long."""

from typing import Annotated, Final, Self

from pydantic import Field, field_validator, model_validator

from protocols.instant import SECOND
from protocols.settings.field_types import Duration, Section
from vault.config.backup_destinations import BackupDestination

DAY: Final = 86_400 * SECOND
MAX_DESTINATIONS: Final = 8
MAX_RECIPIENTS: Final = 16


class RetentionSettings(Section):
    """Which backups are kept: the newest `count`, and every one that is younger than `age`.

    One that another builds on stays as long as that one does.
    """

    count: int = Field(default=14, ge=1, le=10_000)
    age: Duration = 30 * DAY


class BackupSettings(Section):
    """Off unless somebody says otherwise: backups can also be made by hand.

    `schedule`: five cron fields, in UTC. `full_interval`: a backup is a full one once the last full
    one is older; the others have what was changed since. `restore_test`: as `schedule`, when the
    newest backup of each destination is restored to prove that it can be.

    `recipients`: as `freehold backup keygen` prints them; with any, only their identities open the
    backups. `include_secrets`: without them a backup has configuration and identities only.
    `compression`: off only where the destination compresses.
    """

    enabled: bool = False
    schedule: str = "0 2 * * *"
    full_interval: Duration = 7 * DAY
    restore_test: str = "30 3 * * *"
    destinations: Annotated[tuple[BackupDestination, ...], Field(max_length=MAX_DESTINATIONS)] = ()
    recipients: Annotated[tuple[str, ...], Field(max_length=MAX_RECIPIENTS)] = ()
    include_secrets: bool = True
    compression: bool = True
    retention: RetentionSettings = RetentionSettings()

    @field_validator("destinations")
    @classmethod
    def _check_names(
        cls, destinations: tuple[BackupDestination, ...]
    ) -> tuple[BackupDestination, ...]:
        names = [each.name for each in destinations]
        if len(set(names)) != len(names):
            raise ValueError("give each destination a name of its own: name: …")
        return destinations

    @model_validator(mode="after")
    def _check_complete(self) -> Self:
        if self.enabled and not self.destinations:
            raise ValueError("needs destinations: where backups are kept")
        return self
