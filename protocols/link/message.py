"""What every payload of the link is."""

from msgspec import Struct


class Message(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every payload: a frozen struct whose unknown fields are refused."""
