"""Checks that the documents of several methods share."""

import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from vault.authn.bound_origin import parse_cidrs
from vault.authn.methods.method import EntryChange, TokenFields, TokenType
from vault.authn.token_lifetime import MAX_TTL
from vault.authn.tokens import MAX_POLICIES
from vault.errors import ValidationError
from vault.model.identity import ROOT_POLICY
from vault.model.name import canonical_name, echoed

F = TypeVar("F", bound=TokenFields)

MAX_TEXTS: Final = 1_000  # of a list in a document
_NAME: Final = re.compile(r"\w(?:[\w.-]*\w)?", re.ASCII)  # OpenBao's GenericNameRegex
_TYPES: Final = frozenset(
    {
        TokenType.DEFAULT,
        TokenType.SERVICE,
        TokenType.BATCH,
        TokenType.DEFAULT_SERVICE,
        TokenType.DEFAULT_BATCH,
    }
)


def folded_name(name: str) -> str:
    """The one spelling of a role or user: lower case, ASCII. Raises `ValidationError`.

    What is not ASCII is refused before it is folded: folding would turn other letters into these.
    """
    if not _NAME.fullmatch(name):
        raise ValidationError(
            "name_invalid",
            "a name has letters, digits, '_', '-' and '.', and begins and ends with none of the "
            "last two",
            field="name",
        )
    return name.lower()


def exact_name(name: str) -> str:
    """As `folded_name`, with its case."""
    folded_name(name)
    return name


def checked_policies(names: Iterable[str], field: str) -> tuple[str, ...]:
    """The names of policies in their one spelling and order. Raises `ValidationError`."""
    policies = {canonical_name(name.strip(), field) for name in names if name.strip()}
    if ROOT_POLICY in policies:
        raise ValidationError("root_refused", "auth methods cannot create root tokens", field=field)
    if len(policies) > MAX_POLICIES:
        raise ValidationError(
            "token_invalid", f"a token has at most {MAX_POLICIES} policies", field=field
        )
    return tuple(sorted(policies))


def checked_token_fields(document: F) -> F:
    """The document with policies and networks in their one spelling. Raises `ValidationError`."""
    policies = checked_policies(document.token_policies, "token_policies")
    kind = document.token_type.replace("_", "-") or TokenType.DEFAULT
    if kind not in _TYPES:
        raise ValidationError(
            "token_type_invalid",
            f"invalid 'token_type' value \"{echoed(kind)}\"",
            field="token_type",
        )
    if kind in {TokenType.BATCH, TokenType.DEFAULT_BATCH}:
        _check_batch(document)
    if document.token_max_ttl and document.token_ttl > document.token_max_ttl:
        raise ValidationError(
            "ttl_invalid", "'token_ttl' cannot be greater than 'token_max_ttl'", field="token_ttl"
        )
    if document.token_period > MAX_TTL * 40:
        raise ValidationError("ttl_invalid", "token_period is too long", field="token_period")
    return replace(
        document,
        token_policies=policies,
        token_bound_cidrs=parse_cidrs(document.token_bound_cidrs, "token_bound_cidrs"),
        token_type=kind,
    )


def require_secret_again(change: EntryChange[Any], secret: str, places: Iterable[str]) -> None:
    """Raise `ValidationError` if a stored secret would go to where its writer did not send it.

    Whoever may write a configuration cannot read the secrets in it, and must not learn them by
    naming a server of their own.
    """
    old, new = change.old, change.new
    if old is None or not getattr(old, secret) or not getattr(new, secret):
        return
    if secret in change.given:
        return
    for place in places:
        if getattr(old, place) != getattr(new, place):
            raise ValidationError(
                "secret_needed",
                f"{place} says where {secret} is sent: write {secret} again with it",
                field=secret,
            )


def _check_batch(document: TokenFields) -> None:
    if document.token_period:
        raise ValidationError(
            "token_type_invalid",
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic "
            "tokens",
            field="token_type",
        )
    if document.token_num_uses:
        raise ValidationError(
            "token_type_invalid",
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with "
            "limited use count",
            field="token_type",
        )
