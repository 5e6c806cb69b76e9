"""SAML's way back: the provider's page has the browser post its answer here."""

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from vault import operations
from vault.authn.methods.saml.method import CALLBACK, AnswerRefusedError, with_query
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import ValidationError
from vault.model.path import ResourcePath
from vault.model.payloads import RunAuthAction
from vault.model.records import AuthMountRow

routes: Final = Router()
MAX_FORM: Final = (
    256 << 10
)  # bytes: an answer in base64, of which a form writes some signs as three
FORM: Final = "application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 8
_FIELDS: Final = ("SAMLResponse", "RelayState")


@routes.add("POST", template=CALLBACK, public=True, cross_site=True, max_body=MAX_FORM)
async def bring_answer(dialect: Dialect, request: Request, mount: AuthMountRow) -> Reply:
    """Take the provider's answer, and send the browser on to whoever began.

    The provider's page is of another site, so anybody's page may have a browser send this. It gives
    the browser nothing: neither a cookie nor a token.
    """
    fields = _form(request)
    place = ResourcePath.parse(f"auth/{mount.path}{CALLBACK}")
    try:
        result = await dialect.run_operation(
            request,
            operations.BEGIN_LOGIN,
            place,
            RunAuthAction(mount=mount.path, action=CALLBACK, fields=fields),
        )
    except AnswerRefusedError as refused:
        told = {"error": refused.code, "error_description": refused.message}
        return _sent_on(with_query(refused.redirect_uri, told))
    return _sent_on(str((result.fields or {})["redirect_uri"]))


def _form(request: Request) -> dict[str, str]:
    """The fields of the form. Raises `ValidationError`."""
    request.require_media_type(FORM)
    try:
        pairs = parse_qsl(
            request.body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise ValidationError("body_malformed", "the body is not a well-formed form") from None
    found = {name: value for name, value in pairs if name in _FIELDS}
    if len(found) != sum(name in _FIELDS for name, _ in pairs) or "SAMLResponse" not in found:
        raise ValidationError("body_invalid", "SAMLResponse must be there, and each field once")
    return found


def _sent_on(uri: str) -> Reply:
    """The browser goes there by GET; what it came from is told to nobody."""
    headers = ((b"location", uri.encode("ascii", "replace")), (b"referrer-policy", b"no-referrer"))
    return Reply(HTTPStatus.SEE_OTHER, headers=headers)
