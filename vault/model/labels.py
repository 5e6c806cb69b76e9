"""What is said of a secret beside its value, and what two versions differ in. Pure."""

from typing import Self

from msgspec import Struct


class Labels(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said of a secret beside its value.

    `expires_at` (Unix ns, 0: never) belongs to a version and stays with it. None: the version was
    written by a program that had one expiry for the whole secret.
    """

    metadata: dict[str, str] = {}
    tags: list[str] = []
    expires_at: int | None = None


class MetadataChange(Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}):
    """The value of a metadata key on both sides."""

    before: str
    after: str


class LabelDiff(Struct, frozen=True, kw_only=True):
    """What came, what went and what has another value."""

    metadata_added: dict[str, str]
    metadata_removed: dict[str, str]
    metadata_changed: dict[str, MetadataChange]
    tags_added: list[str]
    tags_removed: list[str]

    @classmethod
    def between(cls, before: Labels, after: Labels) -> Self:
        """From `before` to `after`; names in the order that each side has them."""
        old, new = before.metadata, after.metadata
        return cls(
            metadata_added={key: new[key] for key in new if key not in old},
            metadata_removed={key: old[key] for key in old if key not in new},
            metadata_changed={
                key: MetadataChange(before=old[key], after=new[key])
                for key in new
                if key in old and old[key] != new[key]
            },
            tags_added=[tag for tag in after.tags if tag not in before.tags],
            tags_removed=[tag for tag in before.tags if tag not in after.tags],
        )
