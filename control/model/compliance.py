"""Compliance: what frameworks ask for, what the system can show for it, and the report of both.

Numbers are whole everywhere, so that a report has one spelling. Times are Unix nanoseconds.
"""

from enum import StrEnum
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

MAX_FRAMEWORKS: Final = 8  # of one report
MAX_ATTACHMENT: Final = 128 * 1024  # bytes
MAX_DAYS: Final = 400  # of one report's period


class Result(StrEnum):
    """How far what the system holds bears a statement out."""

    MET = "met"
    PARTLY = "partly"
    GAP = "gap"
    NOT_EVIDENCED = "not_evidenced"
    """The system holds nothing about it: a person has to show it otherwise."""


class Control(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One requirement, in words of our own. `evidence`: ids of what speaks for it."""

    id: str
    title: str
    statement: str
    evidence: tuple[str, ...] = ()
    by_hand: str = ""
    """What a person has to add, for no system of ours knows it."""


class Framework(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A standard, as far as a platform for secrets can show anything for it."""

    id: str
    title: str
    edition: str
    about: str
    controls: tuple[Control, ...]


class Record(Struct, frozen=True, kw_only=True):
    """A record of the trail, whole: its hash can be computed again. Bytes in hexadecimal."""

    org: str
    seq: int
    at: int
    request_id: str
    actor: str
    token: str
    ip: str
    operation: str
    target: str
    phase: str
    result: str
    code: str
    detail: dict[str, Any]
    previous: str
    hash: str


class TrailProof(Struct, frozen=True, tag="trail", tag_field="kind"):
    """Somebody did it: the record in the trail, whose end is in the report's header, signed."""

    record: Record


class CheckpointProof(Struct, frozen=True, tag="checkpoint", tag_field="kind", kw_only=True):
    """The state of an agent's audit log: its own note and signature, and our cosignature.

    `grown_from`, `grown_root`, `path`: the checkpoint cosigned before, and the proof (RFC 9162,
    2.1.4.1) that this log begins with that one; 0 and empty for a first one.
    """

    vault: str
    size: int
    root: str
    note: str
    cosignature: str
    signer: str
    at: int
    grown_from: int
    grown_root: str
    path: tuple[str, ...]


class PolicyProof(Struct, frozen=True, tag="policy", tag_field="kind", kw_only=True):
    """The bundle that an agent should have: its version, hash, and the hash of its signature."""

    vault: str
    version: int
    applied: int
    contents: dict[str, int]
    bundle: str
    signature: str


class CertificateProof(Struct, frozen=True, tag="certificate", tag_field="kind", kw_only=True):
    """An agent's certificate; `digest` is the SHA-256 of its DER."""

    vault: str
    serial: str
    generation: int
    not_before: int
    not_after: int
    revoked_at: int
    issuer: str
    digest: str


class ReportedProof(Struct, frozen=True, tag="reported", tag_field="kind", kw_only=True):
    """What an agent said of itself over its link. Not signed on its own: the agent is believed."""

    vault: str
    name: str
    value: str
    at: int


class StateProof(Struct, frozen=True, tag="state", tag_field="kind", kw_only=True):
    """So it stood for this time of the period: written down in the transactions that changed it.

    `name` is what (`control.model.history.Aspect`), of an agent, a person, or (empty) nobody.
    """

    subject: str
    name: str
    value: str
    since: int
    until: int


class SettingProof(Struct, frozen=True, tag="setting", tag_field="kind"):
    """How the control plane was set when the report was made; it is this report that says so."""

    name: str
    value: str


Proof = (
    TrailProof
    | CheckpointProof
    | PolicyProof
    | CertificateProof
    | ReportedProof
    | StateProof
    | SettingProof
)


class Evidence(Struct, frozen=True, kw_only=True):
    """One thing that the system can show. `shown` of `total` proofs are here, faults first."""

    id: str
    title: str
    result: Result
    summary: str
    figures: dict[str, int]
    exceptions: tuple[str, ...] = ()
    proofs: tuple[Proof, ...] = ()
    total: int = 0
    lacking: str = ""
    """What is not known, in words; empty for nothing."""


class NoteView(Struct, frozen=True, kw_only=True):
    """What a person has added to a control; `digest` of the attachment, empty for none."""

    id: str
    by: str
    at: int
    text: str
    name: str
    digest: str


class Judged(Struct, frozen=True, kw_only=True):
    """A control and what came of it."""

    framework: str
    id: str
    title: str
    statement: str
    result: Result
    evidence: tuple[str, ...]
    by_hand: str
    notes: tuple[NoteView, ...] = ()

    @property
    def key(self) -> str:
        """Its name in a report."""
        return f"{self.framework}/{self.id}"


ResultCounts = dict[str, int]
"""Result → how many controls."""


class TrailEnd(Struct, frozen=True, kw_only=True):
    """The end of the trail when the report was made, signed as `docs/guides/people.md` says."""

    size: int
    hash: str
    at: int
    signature: str
    key: str


class Header(Struct, frozen=True, kw_only=True):
    """What a report is about. `since` included, `until` not."""

    org: str
    id: str
    title: str
    since: int
    until: int
    made_at: int
    made_by: str
    frameworks: dict[str, str]
    """Id → title and edition."""
    counts: dict[str, ResultCounts]
    """Of each framework."""
    trail: TrailEnd


class State(StrEnum):
    """Where a report is."""

    WAITING = "waiting"
    READY = "ready"
    FAILED = "failed"


class ReportRow(Struct, frozen=True, kw_only=True):
    """A report, without its bytes. `done` of `steps` kinds of evidence are collected."""

    org: str
    id: str
    title: str
    frameworks: tuple[str, ...]
    since: int
    until: int
    state: State
    done: int
    steps: int
    created_by: str
    created_at: int
    made_at: int = 0
    counts: dict[str, ResultCounts] = {}
    digest: str = ""
    size: int = 0
    reason: str = ""


class ReportSchedule(Struct, frozen=True, kw_only=True):
    """A report that is made again and again, by a cron expression in a time zone."""

    org: str
    id: str
    title: str
    frameworks: tuple[str, ...]
    cron: str
    zone: str
    days: int
    """The length of each report's period, which ends when it is due."""
    enabled: bool
    created_by: str
    created_at: int
    next_at: int
    last_at: int
    owner: str
    """The account, `organization/name`, that made it or has taken it over."""
    suspended: str = ""
    """Why it makes no reports: its owner may not have it any more; empty while it does."""


class ControlNote(Struct, frozen=True, kw_only=True):
    """What a person says of a control, perhaps with a document; never changed."""

    org: str
    id: str
    framework: str
    control: str
    text: str
    name: str
    digest: str
    content: bytes
    created_by: str
    created_at: int


PeriodDays = Annotated[int, Meta(ge=1, le=MAX_DAYS)]
