"""What can be wrong with a name, key, request or chain. Never quotes what a peer sent."""

from typing import ClassVar


class PkiError(Exception):
    """`code` is stable and for programs; the text is for people and safe to log."""

    code: ClassVar[str] = "pki_invalid"


class PkiNameError(PkiError):
    """Not a name of this scheme, or not written in its one way."""

    code = "name_invalid"


class PkiKeyError(PkiError):
    """A key file that cannot be used, or a key of a kind that is not taken."""

    code = "key_invalid"


class CsrError(PkiError):
    """A certificate request that asks for what it may not, or does not prove its key."""

    code = "request_invalid"


class ChainError(PkiError):
    """A certificate that does not lead to a trusted root, or not for this use."""

    code = "certificate_invalid"


class RevokedError(ChainError):
    """A certificate that leads to a trusted root and was withdrawn."""

    code = "certificate_revoked"


class PinError(PkiError):
    """A pin that cannot be read, or an authority that is not the pinned one."""

    code = "pin_mismatch"


class AuthorityError(PkiError):
    """Authority files that do not fit together, or a certificate they may not issue."""

    code = "authority_invalid"
