"""What authentication asks of the crypto of credentials; `vault.app` hands it in."""

from collections.abc import Sequence
from typing import Final, Protocol

TOKEN: Final = "token"  # a kind, not a secret
API_KEY: Final = "api-key"
BATCH: Final = "batch-token"
MAX_CREDENTIAL_BYTES: Final = 4096  # characters that are looked at; of a JWT more


class LocatedCredential(Protocol):
    """Where a presented credential is looked up, and what its row must hold."""

    @property
    def kind(self) -> str:
        """Which method it is for: the key of the registry in `Authenticator`."""
        ...

    @property
    def id(self) -> str:
        """The key of its row."""
        ...

    @property
    def secret_hash(self) -> bytes:
        """The keyed hash of its secret part; of a batch token its content, empty for none."""
        ...


class MintedCredential(Protocol):
    """A new credential: the text is shown once, the row keeps the rest."""

    @property
    def id(self) -> str:
        """The key of its row."""
        ...

    @property
    def text(self) -> str:
        """What its holder presents."""
        ...

    @property
    def secret_hash(self) -> bytes:
        """What its row keeps."""
        ...


class CredentialScheme(Protocol):
    """The credentials of this vault, its pepper included."""

    def mint_token(self) -> MintedCredential:
        """Make a new token."""
        ...

    def mint_batch_token(self, content: bytes) -> MintedCredential:
        """Make a batch token, which has its content in its text."""
        ...

    def mint_session(self) -> MintedCredential:
        """Make a new browser's session: a token whose text is cookie and session key."""
        ...

    def mint_api_key(self) -> MintedCredential:
        """Make a new API key."""
        ...

    def mint_accessor(self) -> str:
        """Make a handle on a token that does not authenticate."""
        ...

    def locate(self, text: str) -> LocatedCredential:
        """Say where any presented text would be found; never raises."""
        ...

    def seal_own(self, text: str, place: Sequence[str], content: bytes) -> bytes:
        """Seal what a credential keeps for itself: nothing opens it without the text."""
        ...

    def open_own(self, text: str, place: Sequence[str], box: bytes) -> bytes | None:
        """Return what `seal_own` sealed at this place; None: not by this text, or changed since."""
        ...

    def matches(self, located: LocatedCredential, stored: bytes | None) -> bool:
        """Compare in constant time; the same work, and False, when nothing is stored."""
        ...
