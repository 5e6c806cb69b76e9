"""The operator's way out: a file beside the anchor that says "I know, go on from here". Blocks.

An attacker who can write it could remove the anchor as well, so it gives no new power. It is valid
for an hour and once: one that is left lying there could hide the next attack.
"""

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from protocols import json_text
from protocols.instant import SECOND
from vault.seal.anchor.anchor_file import replace_file, sync_folder

VALIDITY: Final = 3_600 * SECOND
MAX_REASON: Final = 200  # characters; it goes into the audit log
_MAX_BYTES: Final = 4096


class Acceptance(Struct, frozen=True, forbid_unknown_fields=True):
    """`time` in Unix nanoseconds. `code`: what opens with it has to name, where it has one."""

    time: int
    reason: str
    code: str = ""

    def __repr__(self) -> str:
        return f"Acceptance(time={self.time}, reason={self.reason!r})"


class AcceptanceSubject(StrEnum):
    """What is accepted; the end of the file's name."""

    ROLLBACK = "accept"
    CLOCK = "clock"
    """The machine's clock, however far it has jumped."""
    BREAK_GLASS = "break-glass"
    """That break-glass holders open the vault."""


def acceptance_path(anchor: Path, subject: AcceptanceSubject = AcceptanceSubject.ROLLBACK) -> Path:
    """Where the acceptance for this anchor lies."""
    return anchor.with_name(f"{anchor.name}.{subject}")


def write_acceptance(
    anchor: Path, acceptance: Acceptance, subject: AcceptanceSubject = AcceptanceSubject.ROLLBACK
) -> None:
    """Leave it for the agent. Raises `OSError`."""
    anchor.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(acceptance_path(anchor, subject), msgspec.json.encode(acceptance))


def read_acceptance(
    anchor: Path, now: int, subject: AcceptanceSubject = AcceptanceSubject.ROLLBACK
) -> Acceptance | None:
    """The acceptance that counts now; None when there is none, or one that has run out.

    Raises `OSError`.
    """
    try:
        with acceptance_path(anchor, subject).open("rb") as file:
            found = json_text.decode(file.read(_MAX_BYTES), type=Acceptance)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return found if found.time <= now < found.time + VALIDITY else None


def remove_acceptance(
    anchor: Path, subject: AcceptanceSubject = AcceptanceSubject.ROLLBACK
) -> None:
    """It is used up. Raises `OSError`."""
    path = acceptance_path(anchor, subject)
    if path.exists():
        path.unlink()
        sync_folder(path.parent)
