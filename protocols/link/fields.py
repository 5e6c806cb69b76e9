"""The kinds of fields that messages are made of: typed, bounded, and none can hold a secret.

Each kind that an agent may send says in `description` why it is safe; a test walks every message
and refuses a field without one, or one that is free text, a free map or of no bound.
"""

from typing import Annotated, Final

from msgspec import Meta

from protocols.link.limits import MAX_BUNDLE, MAX_INT, MAX_RULES

ID_SIZE: Final = 16
HASH_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64

Number = Annotated[
    int, Meta(ge=0, le=MAX_INT, description="A count, size or duration: computed, never stored.")
]
Ordinal = Annotated[int, Meta(ge=1, le=MAX_INT, description="As Number, from 1 on.")]
Millis = Annotated[
    int, Meta(ge=0, le=MAX_INT, description="Unix time in milliseconds: read from a clock.")
]
LinkVersion = Annotated[int, Meta(ge=1, le=65_535, description="A constant of the program.")]

Id = Annotated[
    bytes,
    Meta(
        min_length=ID_SIZE,
        max_length=ID_SIZE,
        description="16 random bytes (UUID) that name a thing, or a nonce: made, never chosen.",
    ),
]
Hash = Annotated[
    bytes,
    Meta(
        min_length=HASH_SIZE,
        max_length=HASH_SIZE,
        description="SHA-256 over audit records, certificates or bundles; none covers a value, "
        "because audit records hold values only under a keyed hash, and restore certificates "
        "none.",
    ),
]

Opaque = Annotated[
    bytes,
    Meta(
        min_length=ID_SIZE,
        max_length=ID_SIZE,
        description="The beginning of HMAC-SHA256 over the random id of a secret or user, under a "
        "key that never leaves the agent: it names a thing to nobody else.",
    ),
]

ChannelDigest = Annotated[
    bytes,
    Meta(
        min_length=ID_SIZE,
        max_length=ID_SIZE,
        description="The beginning of SHA-256 over the name of a channel of the control plane, "
        "which knows its channels' names: no other text can be read from it.",
    ),
]

PublicKey = Annotated[
    bytes,
    Meta(
        min_length=HASH_SIZE,
        max_length=HASH_SIZE,
        description="An Ed25519 public key: anybody may have it; it is pinned when first seen, and "
        "another one is an alarm.",
    ),
]

SLUG_PATTERN: Final = r"\A[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\Z"
Slug = Annotated[
    str,
    Meta(
        pattern=SLUG_PATTERN,
        max_length=64,
        description="The organization or vault as its certificate names it: the receiver knows "
        "it already and refuses any other.",
    ),
]
Release = Annotated[
    str,
    Meta(
        pattern=r"\A[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}(?:(?:a|b|rc|\.dev)[0-9]{1,4})?\Z",
        max_length=24,
        description="The program's version: numbers, compiled in.",
    ),
]
TreeHead = Annotated[
    str,
    Meta(
        pattern=r"\Afreehold\.audit/[A-Za-z0-9-]{1,64}/[a-z0-9-]{1,16}\n[0-9]{1,19}\n[A-Za-z0-9+/]{43}=\n"
        r"head [0-9a-f]{64}\ntime [0-9TZ:.-]{20,30}\n(?:store [0-9]{1,19}\n)?\n"
        r"— freehold\.audit/[A-Za-z0-9-]{1,64}/[a-z0-9-]{1,16} [A-Za-z0-9+/]{91}=\n\Z",
        max_length=512,
        description="A signed checkpoint (docs/spec/audit.md): vault, size, hashes, time, count of "
        "commits and signature in a fixed form.",
    ),
]

# From here on only a control plane sends them.

Bundle = Annotated[
    bytes, Meta(min_length=SIGNATURE_SIZE + 1, max_length=SIGNATURE_SIZE + MAX_BUNDLE)
]
Rules = Annotated[
    tuple[Annotated[bytes, Meta(min_length=2, max_length=MAX_BUNDLE)], ...],
    Meta(max_length=MAX_RULES),
]
"""Policy documents as UTF-8 JSON."""
Cosignature = Annotated[
    str,
    Meta(pattern=r"\A— [!-*,-~]{1,128} [A-Za-z0-9+/]{102}==\n\Z", max_length=256),
]
