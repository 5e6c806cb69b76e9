"""The keyring: every key of one vault, as one immutable value sealed under the root key.

KEK generations count 1, 2, 3, … and the newest seals; older ones open what they sealed until they
are retired. A retired generation keeps its number and date and loses its key.

The subkeys are drawn at random once and are not derived from the KEKs, so rotating or retiring a
KEK changes none of them: credentials stay valid and MACs stay checkable.

`epoch` grows by one with each change. It is authenticated, so whoever remembers the last epoch
outside the database notices an old keyring put back.

Each opening by break-glass is counted for ever. A keyring that has such a count is of format 2, one
that has none of format 1.
"""

from struct import Struct as Packing
from typing import Any, Literal, Self

from msgspec import Struct
from msgspec.structs import replace

from vault.crypto import aead
from vault.crypto.encoding import length_prefixed
from vault.crypto.envelope import Kek
from vault.crypto.errors import (
    ActiveGeneration,
    MalformedKeyring,
    RetiredGeneration,
    UnknownGeneration,
)
from vault.crypto.random import random_bytes

KEYRING_FORMAT = 1
COUNTED_FORMAT = 2
"""With the count of openings by break-glass, and the time of the last."""
KEY_SIZE = 32
MAX_GENERATIONS = 2**16 - 1
"""What the format can count: at 90 days each, sixteen thousand years."""

SUBKEYS = ("pepper", "row_mac", "audit_mac", "audit_seed", "cursor", "backup")
"""Names of the subkeys in the order of the format."""

_LABELS = {KEYRING_FORMAT: b"freehold-keyring-v1", COUNTED_FORMAT: b"freehold-keyring-v2"}
_HEAD = Packing(">BQ")
_COUNT = Packing(">H")
_GENERATION = Packing(">QB")
_U64 = Packing(">Q")
_USES = Packing(">QQ")
_RETIRED, _HELD = 0, 1


class KekGeneration(Struct, frozen=True, eq=False):
    """One KEK generation: when it was made (Unix ns), and its key until it is retired."""

    created_at: int
    kek: Kek | None

    @property
    def state(self) -> Literal["active", "retired"]:
        """`active` while its key is held, `retired` once it is gone."""
        return "retired" if self.kek is None else "active"


class Keyring(Struct, frozen=True, eq=False):
    """See the module. Raises `MalformedKeyring` for an impossible combination of parts.

    Does not show its keys in `repr`, and does not encode, copy or pickle by accident: the KEKs in
    it refuse.
    """

    org: str
    vault: str
    epoch: int
    generations: tuple[KekGeneration, ...]
    pepper: bytes
    """Hashes API keys and tokens (`credentials`)."""
    row_mac: bytes
    """Authenticates authority rows."""
    audit_mac: bytes
    """Hashes values in audit records."""
    audit_seed: bytes
    """The seeds of the keys that sign audit checkpoints are derived from it, one for each node."""
    cursor: bytes
    """Authenticates list cursors."""
    backup: bytes
    """Seals backups."""
    break_glass_uses: int = 0
    """How often break-glass holders have opened the vault."""
    break_glass_used_at: int = 0
    """Unix ns, of the last time; 0: never."""

    def __post_init__(self) -> None:
        if not (self.org and self.vault):
            raise MalformedKeyring("a keyring belongs to a named org and vault")
        if not 1 <= self.epoch < 2**64:
            raise MalformedKeyring("epochs count from 1")
        if not 1 <= len(self.generations) <= MAX_GENERATIONS:
            raise MalformedKeyring("a keyring has 1 to 65535 generations")
        if self.generations[-1].kek is None:
            raise MalformedKeyring("the newest generation is not retired")
        if any(len(getattr(self, name)) != KEY_SIZE for name in SUBKEYS):
            raise MalformedKeyring("subkeys are 32 bytes")
        if not 0 <= self.break_glass_uses < 2**64 or not 0 <= self.break_glass_used_at < 2**64:
            raise MalformedKeyring("uses of break-glass are counted from 0")

    @classmethod
    def create(cls, now: int, *, org: str, vault: str) -> Self:
        """A new keyring at epoch 1 with one generation made at `now` (Unix ns)."""
        first = KekGeneration(now, Kek(1, random_bytes(KEY_SIZE)))
        subkeys: dict[str, Any] = {name: random_bytes(KEY_SIZE) for name in SUBKEYS}
        return cls(org=org, vault=vault, epoch=1, generations=(first,), **subkeys)

    @property
    def active(self) -> int:
        """The number of the generation that seals: the newest."""
        return len(self.generations)

    def kek(self, generation: int) -> Kek:
        """That generation's key. Raises `UnknownGeneration` or `RetiredGeneration`."""
        if not 1 <= generation <= len(self.generations):
            raise UnknownGeneration(f"no KEK generation {generation}")
        kek = self.generations[generation - 1].kek
        if kek is None:
            raise RetiredGeneration(f"KEK generation {generation} is retired")
        return kek

    def holds(self, generation: int) -> bool:
        """Whether that generation is known and not retired."""
        known = 1 <= generation <= len(self.generations)
        return known and self.generations[generation - 1].kek is not None

    def rotate(self, now: int) -> Self:
        """The next epoch, with a new active generation made at `now` (Unix ns)."""
        new = KekGeneration(now, Kek(self.active + 1, random_bytes(KEY_SIZE)))
        return replace(self, epoch=self.epoch + 1, generations=(*self.generations, new))

    def at_epoch(self, epoch: int) -> Self:
        """The same keys at a later epoch: what was set back before then is recognisably old.

        Raises `ValueError` unless it is later.
        """
        if epoch <= self.epoch:
            raise ValueError("an epoch only grows")
        return replace(self, epoch=epoch)

    def with_break_glass_use(self, now: int) -> Self:
        """The next epoch, with one opening by break-glass more, at `now` (Unix ns)."""
        later = replace(self, epoch=self.epoch + 1, break_glass_uses=self.break_glass_uses + 1)
        return replace(later, break_glass_used_at=max(now, self.break_glass_used_at))

    def with_known_uses(self, uses: int, used_at: int) -> Self:
        """With no fewer uses of break-glass than somebody knows of: the count only grows.

        To be stored at a later epoch.
        """
        return replace(
            self,
            break_glass_uses=max(uses, self.break_glass_uses),
            break_glass_used_at=max(used_at, self.break_glass_used_at),
        )

    def retire(self, generation: int) -> Self:
        """The next epoch, without that generation's key. Only when nothing needs it any more.

        Raises `ActiveGeneration` for the newest, `UnknownGeneration` and `RetiredGeneration`.
        """
        self.kek(generation)
        if generation == self.active:
            raise ActiveGeneration(f"KEK generation {generation} is the one that seals")
        generations = list(self.generations)
        generations[generation - 1] = replace(generations[generation - 1], kek=None)
        return replace(self, epoch=self.epoch + 1, generations=tuple(generations))

    def encode(self, root_key: bytes) -> bytes:
        """`format || u64 epoch || box` under `root_key` (docs/spec/keyring.md). Fresh each time."""
        version = COUNTED_FORMAT if self.break_glass_uses else KEYRING_FORMAT
        aad = _aad(version, self.org, self.vault, self.epoch)
        return _HEAD.pack(version, self.epoch) + aead.seal(root_key, _pack(self), aad)

    @classmethod
    def decode(cls, root_key: bytes, blob: bytes, *, org: str, vault: str) -> Self:
        """The keyring of that org and vault.

        Raises `MalformedKeyring` for bytes of another format, `AuthenticationFailed` for another
        root key, org or vault, or altered bytes: this is how a wrong set of shares is noticed.
        """
        if len(blob) < _HEAD.size + aead.OVERHEAD:
            raise MalformedKeyring("a keyring is cut short")
        version, epoch = _HEAD.unpack_from(blob)
        if version not in _LABELS:
            raise MalformedKeyring("unknown format of a keyring")
        payload = aead.open_(root_key, blob[_HEAD.size :], _aad(version, org, vault, epoch))
        reader = _Reader(payload)
        generations, subkeys = _unpack(reader)
        uses = used_at = 0
        if version == COUNTED_FORMAT:
            uses, used_at = _USES.unpack(reader.take(_USES.size))
        reader.end()
        found = cls(org=org, vault=vault, epoch=epoch, generations=generations, **subkeys)
        return found.with_known_uses(uses, used_at)

    def __repr__(self) -> str:
        return (
            f"Keyring(org={self.org!r}, vault={self.vault!r}, epoch={self.epoch}, "
            f"active={self.active})"
        )

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("epoch", self.epoch), ("active", self.active)]


def _aad(version: int, org: str, vault: str, epoch: int) -> bytes:
    return length_prefixed([_LABELS[version], org.encode(), vault.encode(), _U64.pack(epoch)])


def _pack(keyring: Keyring) -> bytes:
    parts = [_COUNT.pack(len(keyring.generations))]
    for generation in keyring.generations:
        held = generation.kek is not None
        parts.append(_GENERATION.pack(generation.created_at, _HELD if held else _RETIRED))
        if generation.kek is not None:
            parts.append(generation.kek.export_bytes())
    parts.extend(getattr(keyring, name) for name in SUBKEYS)
    if keyring.break_glass_uses:
        parts.append(_USES.pack(keyring.break_glass_uses, keyring.break_glass_used_at))
    return b"".join(parts)


def _unpack(reader: "_Reader") -> tuple[tuple[KekGeneration, ...], dict[str, Any]]:
    (count,) = _COUNT.unpack(reader.take(_COUNT.size))
    generations = tuple(_generation(number, reader) for number in range(1, count + 1))
    subkeys = {name: reader.take(KEY_SIZE) for name in SUBKEYS}
    return generations, subkeys


def _generation(number: int, reader: "_Reader") -> KekGeneration:
    created_at, state = _GENERATION.unpack(reader.take(_GENERATION.size))
    if state == _RETIRED:
        return KekGeneration(created_at, None)
    if state != _HELD:
        raise MalformedKeyring("a generation is held or retired")
    return KekGeneration(created_at, Kek(number, reader.take(KEY_SIZE)))


class _Reader:
    """Takes exact pieces off the front; refuses to run short or to leave a rest."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise MalformedKeyring("a keyring is cut short")
        self._at += size
        return piece

    def end(self) -> None:
        if self._at != len(self._data):
            raise MalformedKeyring("a keyring has trailing bytes")
