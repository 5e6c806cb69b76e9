"""What names things and holds no value: its rendering in the audit log may be remembered."""

from msgspec import Struct


class ReferencePayload(Struct, frozen=True):
    """Base of structs whose fields are identifiers and numbers of ours: hashable, and no secret.

    Whatever a caller stored, or chose to keep from others, does not belong into one: the audit log
    shows keyed hashes of the fields all the same, but the memory keeps the fields.
    """
