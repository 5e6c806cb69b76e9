"""The head file: the signed size and root of the log, rewritten after each batch.

It is what makes a cut-off tail visible. Two slots, written in turn, each within one disk sector: a
torn write spoils one at most, and it is the older state that is then left. A slot is one line with
the offset of the last checkpoint in the current segment (a hint to where a start may begin reading;
not signed, checked by what is found there), then the signed note, then NUL.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vault.audit.checkpoint import TreeHead, parse_unverified_head, verify_checkpoint
from vault.audit.keys import VerifyKeys

SECTOR: Final = 512  # bytes; what a disk writes whole
SPACING: Final = 4096  # bytes between the slots: different pages, different blocks
SLOTS: Final = 2


@dataclass(frozen=True, slots=True)
class StoredHead:
    """What a slot holds."""

    slot: int
    head: TreeHead
    note: str  # its signed form
    checkpoint_offset: int


def encode_slot(note: str, checkpoint_offset: int) -> bytes:
    """The bytes of a slot. Raises `ValueError` when the note is too long for a sector."""
    block = f"{checkpoint_offset}\n{note}".encode()
    if len(block) > SECTOR:
        raise ValueError(f"a head of {len(block)} bytes does not fit into {SECTOR}")
    return block.ljust(SECTOR, b"\0")


def read_unverified_origin(path: Path) -> str:
    """Of which log the file says that it is the head. Raises `ValueError` or `OSError`."""
    for block in _read_slots(path):
        with suppress(ValueError):
            return parse_unverified_head(block.decode().partition("\n")[2]).origin
    raise ValueError("the head file has no head")


def read_head(path: Path, keys: VerifyKeys, public: bytes) -> StoredHead:
    """The newest of the slots. Raises `ValueError` if none is signed by this key, or `OSError`."""
    found: list[StoredHead] = []
    fault = "the head file is empty"
    for slot, block in enumerate(_read_slots(path)):
        try:
            mark, _, note = block.decode().partition("\n")
            found.append(StoredHead(slot, verify_checkpoint(note, keys, public), note, int(mark)))
        except ValueError as error:
            fault = str(error)
    if not found:
        raise ValueError(fault)
    return max(found, key=lambda stored: stored.head.size)


def _read_slots(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        data = file.read(SPACING * SLOTS)
    return [data[slot * SPACING :][:SECTOR].rstrip(b"\0") for slot in range(SLOTS)]
