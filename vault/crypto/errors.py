"""What can go wrong with keys and sealed values. No message ever carries a secret."""

# ruff: noqa: N818 - named after what happened, as the specs and vectors name it, without a suffix.


class CryptoError(Exception):
    """Root of everything `vault.crypto` raises on purpose."""


class AuthenticationFailed(CryptoError):
    """A tag did not verify: wrong key, wrong place, or altered bytes. Which one is unknowable."""


class CommitmentMismatch(AuthenticationFailed):
    """The data key is authentic but is not the one this value was sealed with."""


class MalformedEncoding(CryptoError):
    """Bytes or text that are not an encoding this version knows. Never says what they held."""


class MalformedSealed(MalformedEncoding):
    """Not a sealed value of format 1."""


class MalformedKeyring(MalformedEncoding):
    """Not a keyring of format 1."""


class MalformedCredential(MalformedEncoding):
    """Text that is neither an API key nor a service token."""


class MalformedShare(MalformedEncoding):
    """A key share of the wrong length, with coordinate zero, or repeated."""


class PlaintextTooLong(CryptoError):
    """The value is longer than a sealed value may be."""


class UnknownGeneration(CryptoError):
    """The keyring never had this KEK generation."""


class RetiredGeneration(CryptoError):
    """This KEK generation was retired: its key is gone, and so is what it alone wrapped."""


class ActiveGeneration(CryptoError):
    """The generation that seals new values is not retired: rotate first."""


class WrapLimitReached(CryptoError):
    """This KEK has wrapped as often as AES-GCM with random nonces allows. Rotate it."""


class CounterClosed(CryptoError):
    """The count of this KEK's uses is final: the vault is being sealed."""


class UnsealRefused(CryptoError):
    """The shares do not open the keyring, or an attempt was misused. Progress starts again."""


class KeyFileError(CryptoError):
    """The key file is missing, exposed, of the wrong size, or could not be written durably."""
