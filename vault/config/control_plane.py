"""The design's section `control_plane`: whether the agent is linked, to whom, and its limits.

Off unless somebody says otherwise: an agent needs no control plane.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from protocols.hidden_characters import CONTROLS, HIDDEN, JOINERS
from protocols.instant import SECOND
from protocols.settings.field_types import Duration, FilePath, Section, Size
from vault.model.endpoint import parse_endpoint

MIB: Final = 1 << 20
DAY: Final = 86_400 * SECOND
PIN: Final = r"^(?:sha256:[A-Za-z0-9_-]{43})?$"
LABEL: Final = rf"^[^{CONTROLS}{HIDDEN}{JOINERS}]*$"

AllowedCommand = Literal["rotate_kek", "run_backup"]


class ControlPlaneSettings(Section):
    """`endpoints`: further addresses of the same control plane, tried when one does not serve.

    `endpoint` and `pin` alone make the agent ask to join; enrolled, it goes by its own files.

    `ceiling` is a policy document (policies.md): what the control plane's policies may grant
    at most. Without one they may only take away. A control plane that is silent for `dead_after` is
    gone; a lost link is tried again within `reconnect_within`, drawn anew each time.

    `share_replays`: what the control plane is told of its candidates held against the audit log
    (reference/policies.md). `off`: nothing, and none is. `replay_facts`: what it may find out by
    asking; accesses that depend on anything else are told as undecided.

    `expiry_warnings`: how long before a secret's end its alerts are; none: not of its end either.
    """

    enabled: bool = False
    endpoint: str = ""
    endpoints: Annotated[tuple[str, ...], Field(max_length=16)] = ()
    pin: Annotated[str, Field(pattern=PIN)] = ""
    certificate_path: FilePath | None = None
    private_key_path: FilePath | None = None
    heartbeat_interval: Duration = 60 * SECOND
    metrics_interval: Duration = 60 * SECOND
    checkpoint_interval: Duration = 60 * SECOND
    dead_after: Duration = 30 * SECOND
    reconnect_within: Duration = 60 * SECOND
    folder: FilePath | None = None
    label: Annotated[str, Field(max_length=64, pattern=LABEL)] = ""
    ceiling: FilePath | None = None
    allow_commands: tuple[AllowedCommand, ...] = ()
    outbox_size: Size = Field(default=16 * MIB, ge=1 * MIB)
    egress_size: Size = Field(default=128 * MIB, ge=16 * MIB)
    tls_keylog: FilePath | None = None
    share_usage: Literal["off", "aggregates", "opaque"] = "aggregates"
    share_replays: Literal["off", "aggregates", "opaque"] = "aggregates"
    replay_facts: tuple[Literal["tags", "metadata", "networks"], ...] = ()
    usage_interval: Duration = 900 * SECOND
    expiry_warnings: Annotated[tuple[Duration, ...], Field(max_length=8)] = (
        30 * DAY,
        7 * DAY,
        1 * DAY,
    )
    expiry_interval: Duration = 3600 * SECOND

    @field_validator(
        "heartbeat_interval", "metrics_interval", "checkpoint_interval", "usage_interval"
    )
    @classmethod
    def _check_interval(cls, value: int) -> int:
        if not SECOND <= value <= 3600 * SECOND:
            raise ValueError("must be between 1s and 1h")
        return value

    @field_validator("expiry_interval")
    @classmethod
    def _check_expiry_interval(cls, value: int) -> int:
        if not SECOND <= value <= DAY:
            raise ValueError("must be between 1s and 24h")
        return value

    @field_validator("expiry_warnings")
    @classmethod
    def _check_expiry_warnings(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(one > 3650 * DAY for one in value):
            raise ValueError("must be 3650d at most")
        return value

    @field_validator("dead_after", "reconnect_within")
    @classmethod
    def _check_timeouts(cls, value: int) -> int:
        if not SECOND <= value <= 300 * SECOND:
            raise ValueError("must be between 1s and 5m")
        return value

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        return parse_endpoint(value) if value else value

    @field_validator("endpoints")
    @classmethod
    def _check_endpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(parse_endpoint(address) for address in value)

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if (self.certificate_path is None) != (self.private_key_path is None):
            raise ValueError("needs certificate_path and private_key_path, or neither of them")
        if self.pin and not self.endpoint:
            raise ValueError("has a pin and no endpoint to hold it against")
        return self
