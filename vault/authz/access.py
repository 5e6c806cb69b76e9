"""The question that authorization is asked, and its answer."""

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from vault.model.acl.access import USUAL_FORM, ApiAccess, ApiForm
from vault.model.acl.list_filter import ListFilter
from vault.model.identity import Identity
from vault.model.operation import NO_FACTS, Capability, Origin, SecretFacts
from vault.model.path import ResourcePath


class AccessRequest(Struct, frozen=True, kw_only=True):
    """The question: may `identity` do `capability` to `path`, from `origin`, at `now` (Unix ns).

    For `list` the path is the folder that is listed; its closing slash makes no difference.
    `api`: what policies in Vault's language are asked; None: what comes nearest to `capability`,
    in the `form` of the operation.
    """

    capability: Capability
    path: ResourcePath
    identity: Identity
    origin: Origin
    facts: SecretFacts = NO_FACTS
    now: int
    api: ApiAccess | None = None
    form: ApiForm = USUAL_FORM


class Decision(Struct, frozen=True):
    """The answer: `rule` names the deciding rule (`app-read/rules[0]`), `reason` is a stable word.

    `alert` is set when a policy with the action `alert` took part. A dry run alone fills `missing`
    (what stands between the caller and a yes, one sentence each) and `unknown` (the policies that
    the caller has by name and that do not exist: they add nothing). `page_limit` and `list_filter`
    are what an allowed list is held to, if it is.
    """

    allowed: bool
    rule: str = ""
    reason: str = ""
    missing: tuple[str, ...] = ()
    alert: bool = False
    unknown: tuple[str, ...] = ()
    page_limit: int | UnsetType = UNSET
    list_filter: ListFilter | UnsetType = UNSET


ALLOWED: Final = "allowed"
NO_RULE: Final = "no_rule"  # nothing allows it: the default
DENY_RULE: Final = "deny_rule"
CONTROL_GROUP: Final = "control_group"  # others would have to approve, which they cannot here
OVER_CEILING: Final = "over_ceiling"
NOT_PERMITTED: Final = "key_permissions"  # the policies may allow it, the API key does not
