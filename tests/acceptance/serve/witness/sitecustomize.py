"""In an agent's process, put there by PYTHONPATH: at SIGUSR2 it says who still holds a key.

The needles, 32 bytes each, are in the file `needles` of the folder that `FREEHOLD_WITNESS` names;
what is found is written there by the process's id. Everything that can be reached counts, whatever
the collector was told of it; what was let go and not overwritten does not.
"""

import gc
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType

HOLDERS = frozenset(
    {
        "vault.audit.keys.AuditKeys", "vault.barrier.Barrier", "vault.barrier.HmacRowGuard",
        "vault.peers.Handover", "vault.crypto.aead.AeadKey",
        "vault.crypto.anchor_keys.DerivedAnchorKeys",
        "vault.crypto.data_key_cache.DataKeyCache", "vault.crypto.envelope.Kek",
        "vault.crypto.keyring.Keyring", "vault.crypto.hmac.HmacKey",
        "vault.seal.bound_keys.PepperedScheme",
        "vault.workers.wire.Open",
    }
)  # fmt: skip
"""Objects that are keys, or by which keys are reached."""


def look(*_: object) -> None:
    """Write down what is found now, and take part in nothing: no garbage is collected."""
    folder = Path(os.environ["FREEHOLD_WITNESS"])
    text = (folder / "needles").read_bytes()
    needles = [text[at : at + 32] for at in range(0, len(text), 32)]
    frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    found = sorted(set(_found(needles)))
    if frozen:
        gc.freeze()
    made = folder / f"{os.getpid()}.new"
    made.write_text(json.dumps(found))
    made.rename(folder / f"{os.getpid()}.json")


def _found(needles: list[bytes]) -> Iterator[str]:
    frames = [frame for frame in sys._current_frames().values() if frame is not sys._getframe()]
    waiting: list[object] = [*gc.get_objects(), *(frame.f_locals for frame in frames)]
    seen = {id(one) for one in (needles, frames, waiting)}
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        kind = type(one)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in HOLDERS:
            yield name
        if isinstance(one, FrameType | CodeType | ModuleType):
            continue
        for part in gc.get_referents(one):
            if isinstance(part, bytes | bytearray):
                if any(needle in part for needle in needles):
                    yield f"a key in {_told(one)}"
            elif not gc.is_tracked(part) and not isinstance(part, str | int | float):
                waiting.append(part)


def _told(holder: object) -> str:
    name = getattr(holder, "__qualname__", "") if not isinstance(holder, FunctionType) else ""
    return f"{type(holder).__qualname__} {name}".rstrip()


if "FREEHOLD_WITNESS" in os.environ:
    signal.signal(signal.SIGUSR2, look)
