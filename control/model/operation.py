"""An operation, as the pipeline sees it."""

from typing import Any

from msgspec import Struct, field

from control.model.people import Caller, Role
from control.model.people import Origin as Origin
from protocols.http.session_key import credential_of


class BrowserCredentials(Struct, frozen=True):
    """Credentials and headers of a browser."""

    cookie: str = ""
    """One half of the session's credential, which other ports of this host see, too."""
    session_key: str = ""
    """The other half, which our own pages alone know (`protocols.http.session_key`)."""
    same_origin: bool = False
    """Whether it says that a page of ours asked; false too where it says nothing."""
    oidc: str = ""
    asked: str = ""

    @property
    def credential(self) -> str:
        """The session's; empty unless cookie and session key are both there."""
        return credential_of(self.cookie, self.session_key)


class ResolvedCaller(Struct):
    """The caller of a public operation, set by its handler for the audit record."""

    caller: Caller | None = None


class Operation(Struct, frozen=True, kw_only=True):
    """One request: `role` is the least that the caller must be in `org`.

    `org` empty: of no organization, for the platform's super-admins alone; `any_authenticated`:
    everybody who is signed in; `public`: everybody. `detail` is recorded and holds no secret.
    """

    name: str
    request_id: str
    credential: str | None
    origin: Origin
    browser: BrowserCredentials = BrowserCredentials()
    guarded: bool = False
    """It changes something, if well-formed: with a cookie for a credential, only if we asked."""
    requires_recent_auth: bool = False
    """A person has to have confirmed their identity lately."""
    allows_api_tokens: bool = True
    """Whether an API token may ask for it."""
    resolved: ResolvedCaller = field(default_factory=ResolvedCaller)
    org: str = ""
    role: Role = Role.VIEWER
    any_authenticated: bool = False
    public: bool = False
    hashes_password: bool = False
    """It computes a password's hash, so it waits its turn before it begins."""
    target: str = ""
    mutates: bool = False
    detail: dict[str, Any] = {}
