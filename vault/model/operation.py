"""What a dialect asks of the pipeline, and what it gets back: wire-free, frozen."""

from enum import StrEnum

from msgspec import Struct

from vault.model.path import ResourcePath


class Capability(StrEnum):
    """The verbs of a policy. `delete` covers undelete; `destroy` cannot be taken back."""

    CREATE = "create"
    READ = "read"
    READ_METADATA = "read_metadata"
    UPDATE = "update"
    DELETE = "delete"
    DESTROY = "destroy"
    LIST = "list"
    SUDO = "sudo"


class Origin(Struct, frozen=True, kw_only=True):
    """Where a request came from, as far as the server saw it itself."""

    ip: str
    user_agent: str = ""
    dialect: str = "native"
    browser: bool = False  # the credential came in a session's cookie, which counts from our page
    peer_certificate: bytes | None = None  # DER, verified by TLS


class Operation(Struct, frozen=True, kw_only=True):
    """One thing to do, to one place, asked with one credential.

    `name` is the key of a handler (`secret.read`), `payload` that handler's frozen parameters.
    `service` names the background work that asks, which needs no credential: only the agent's own
    code can make such an operation, no dialect does. `part`: it is one of several of its request,
    others of which may be done already.
    """

    name: str
    path: ResourcePath
    payload: object
    request_id: str
    credential: str | None  # the text that was presented; never logged, dropped after step 1
    origin: Origin
    service: str = ""
    part: bool = False

    def __repr__(self) -> str:
        return f"Operation(name={self.name!r}, request_id={self.request_id!r})"


class Facts(Struct, frozen=True):
    """What a policy condition may ask about the thing itself. A `guess` was not looked up."""

    exists: bool = False
    tags: frozenset[str] = frozenset()
    metadata: dict[str, str] = {}
    guess: bool = False


NO_FACTS = Facts()
