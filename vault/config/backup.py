"""The design's section `backup`: when backups are made, where they are kept, and for how long."""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from protocols.cron import next_time
from protocols.instant import DAY
from protocols.settings.field_types import Duration, Section
from vault.config.backup_destinations import BackupDestination

MAX_DESTINATIONS: Final = 8
MAX_RECIPIENTS: Final = 16


def _check_cron(expression: str) -> str:
    next_time(expression, 0)
    return expression


Recipient = Annotated[str, Field(pattern=r"^freehold-backup-recipient-1:[0-9a-f]{64}$")]
Cron = Annotated[str, AfterValidator(_check_cron)]


class RetentionSettings(Section):
    """Which backups are kept: the newest `count`, and every one that is younger than `age`.

    One that another builds on stays as long as that one does.
    """

    count: int = Field(default=14, ge=1, le=10_000)
    age: Duration = 30 * DAY


class BackupSettings(Section):
    """Without `enabled` no backup is made by itself; one that is asked for is made all the same.

    `schedule`: five cron fields, in UTC. `full_interval`: a backup is a full one once the last full
    one is older; the others have what was changed since. `restore_test`: as `schedule`, when the
    newest backup of each destination is restored to prove that it can be.

    `recipients`: as `freehold backup keygen` prints them; with any, only their identities open the
    backups. `include_secrets`: without them a backup has configuration and identities only.
    `compression`: off only where the destination compresses.
    """

    enabled: bool = False
    schedule: Cron = "0 2 * * *"
    full_interval: Duration = 7 * DAY
    restore_test: Cron = "30 3 * * *"
    destinations: Annotated[tuple[BackupDestination, ...], Field(max_length=MAX_DESTINATIONS)] = ()
    recipients: Annotated[tuple[Recipient, ...], Field(max_length=MAX_RECIPIENTS)] = ()
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
