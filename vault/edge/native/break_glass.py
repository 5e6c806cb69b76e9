"""`/api/v1/system/break-glass`: the set of holders who open the vault without its key provider."""

from typing import Annotated

from msgspec import Meta, Struct

from protocols.instant import rfc3339_or_none
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_path
from vault.edge.request import Request
from vault.model.break_glass import BreakGlassProgress, BreakGlassState, MakeBreakGlassSet
from vault.model.payloads import Nothing

break_glass = Endpoints("break_glass", "Opening the vault when its key provider is gone.")

MAX_SHARES = 255
MAX_TEXT = 256


class BreakGlassBody(Struct, frozen=True, kw_only=True):
    """The set in force, and how often any set was used; a time is null for never.

    `set` is empty where there is none. `spent`: it has opened the vault; make another one.
    """

    set: str
    shares: int
    threshold: int
    made_at: str | None
    made_by: str
    spent: bool
    set_uses: int
    uses: int
    used_at: str | None

    @classmethod
    def of(cls, state: BreakGlassState) -> "BreakGlassBody":
        """From the agent's own."""
        return cls(
            set=state.set,
            shares=state.shares,
            threshold=state.threshold,
            made_at=rfc3339_or_none(state.made_at),
            made_by=state.made_by,
            spent=state.set_uses > 0,
            set_uses=state.set_uses,
            uses=state.uses,
            used_at=rfc3339_or_none(state.used_at),
        )


class NewBreakGlass(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any `threshold` of `shares` are to open the vault.

    `replace`: in the place of the set in force, whose shares then open nothing.
    """

    shares: Annotated[int, Meta(ge=2, le=MAX_SHARES)]
    threshold: Annotated[int, Meta(ge=2, le=MAX_SHARES)]
    replace: bool = False


class BreakGlassMade(Struct, frozen=True, kw_only=True):
    """The set, and its shares, which are shown once and kept nowhere."""

    set: BreakGlassBody
    shares: tuple[str, ...]


class BreakGlassShare(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A share, and the code that `freehold operator break-glass allow` has printed."""

    share: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    code: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]

    def __repr__(self) -> str:
        return "BreakGlassShare()"


class BreakGlassOpeningBody(Struct, frozen=True, kw_only=True):
    """How far an opening is: `progress` of `threshold`; a time is null for never.

    `warning`: what is left to be done by hand.
    """

    sealed: bool
    set: str
    shares: int
    threshold: int
    progress: int
    uses: int
    used_at: str | None
    warning: str

    @classmethod
    def of(cls, found: BreakGlassProgress) -> "BreakGlassOpeningBody":
        """From the agent's own."""
        return cls(
            sealed=found.sealed,
            set=found.set,
            shares=found.shares,
            threshold=found.threshold,
            progress=found.progress,
            uses=found.uses,
            used_at=rfc3339_or_none(found.used_at),
            warning=found.warning,
        )


@break_glass.add(
    "GET", "system/break-glass", "The break-glass set in force, and the uses of all sets",
    returns=BreakGlassBody,
)  # fmt: skip
async def read(dialect: Dialect, request: Request) -> BreakGlassBody:
    path = system_path("break-glass")
    return BreakGlassBody.of(
        await dialect.run_operation(request, operations.READ_BREAK_GLASS, path, Nothing())
    )


@break_glass.add(
    "POST", "system/break-glass", "Make a break-glass set; its shares are shown once",
    body=NewBreakGlass, returns=BreakGlassMade, status=201, errors=(409,),
)  # fmt: skip
async def make(dialect: Dialect, request: Request, *, body: NewBreakGlass) -> BreakGlassMade:
    payload = MakeBreakGlassSet(shares=body.shares, threshold=body.threshold, replaces=body.replace)
    path = system_path("break-glass")
    made = await dialect.run_operation(request, operations.MAKE_BREAK_GLASS_SET, path, payload)
    return BreakGlassMade(set=BreakGlassBody.of(made.state), shares=made.shares)


@break_glass.add(
    "DELETE", "system/break-glass", "Revoke the break-glass set; returns what was in force",
    returns=BreakGlassBody, errors=(409,),
)  # fmt: skip
async def revoke(dialect: Dialect, request: Request) -> BreakGlassBody:
    path = system_path("break-glass")
    return BreakGlassBody.of(
        await dialect.run_operation(request, operations.REVOKE_BREAK_GLASS_SET, path, Nothing())
    )


@break_glass.add(
    "GET", "system/break-glass/open", "How far an opening by break-glass holders is",
    returns=BreakGlassOpeningBody, public=True,
)  # fmt: skip
async def read_opening(dialect: Dialect, _request: Request) -> BreakGlassOpeningBody:
    return BreakGlassOpeningBody.of(dialect.service.break_glass_progress())


@break_glass.add(
    "POST", "system/break-glass/open",
    "Offer a break-glass share to a sealed agent; at the last one needed the vault opens",
    body=BreakGlassShare, returns=BreakGlassOpeningBody, public=True, errors=(403, 409),
)  # fmt: skip
async def open_vault(
    dialect: Dialect, _request: Request, *, body: BreakGlassShare
) -> BreakGlassOpeningBody:
    found = await dialect.service.submit_break_glass_share(body.share, body.code)
    return BreakGlassOpeningBody.of(found)
