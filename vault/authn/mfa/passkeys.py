"""Passkeys and security keys (WebAuthn level 3): registration and assertion.

The relying party is the agent's public address: a key signs for this origin alone. The user must be
verified (a PIN, a fingerprint), so a key that was stolen shows nothing. The library is imported
when the first key is used: it takes 0.2 s.
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from protocols.link.signing import sha256
from vault.authn.mfa.enforcement import WEBAUTHN
from vault.errors import ValidationError

MAX_RESPONSE: Final = 16_384  # bytes of what a browser sends
CHALLENGE_BYTES: Final = 32
TIMEOUT: Final = 300  # seconds that a person has
_FORMATS: Final = frozenset({"none", "packed"})
"""Attestation formats that are taken. None is asked for; some keys send `packed` anyway."""


class RelyingParty(Struct, frozen=True):
    """For whom keys sign. `id` is the host of `origin`; `name` is what a browser may show."""

    id: str
    origin: str
    name: str

    @classmethod
    def of(cls, public_url: str, name: str) -> "RelyingParty":
        """The relying party for an address such as `https://vault.example.com:8200`."""
        parts = urlsplit(public_url)
        return cls(parts.hostname or "", f"{parts.scheme}://{parts.netloc}", name)


class NewPasskey(Struct, frozen=True, kw_only=True):
    """A key that was registered. `credential` and `public_key` are base64url."""

    factor: str
    credential: str
    public_key: str
    sign_count: int
    transports: tuple[str, ...]


def factor_id(credential: bytes) -> str:
    """The id of the factor that a key is."""
    return f"{WEBAUTHN}-{sha256(credential).hex()[:32]}"


def registration_options(
    party: RelyingParty,
    *,
    entity_id: str,
    account: str,
    challenge: bytes,
    known: Sequence[str],
) -> dict[str, Any]:
    """What `navigator.credentials.create` takes, as JSON. `known`: keys that are there already."""
    from webauthn import generate_registration_options
    from webauthn.helpers import options_to_json_dict, structs

    options = generate_registration_options(
        rp_id=party.id,
        rp_name=party.name,
        user_name=account,
        user_id=sha256(entity_id.encode()),  # what a key keeps says nothing of the entity
        challenge=challenge,
        timeout=TIMEOUT * 1000,
        attestation=structs.AttestationConveyancePreference.NONE,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.PREFERRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=_descriptors(known),
    )
    return options_to_json_dict(options)


def verify_registration(
    party: RelyingParty, response: dict[str, Any], challenge: bytes
) -> NewPasskey:
    """The key of a browser's answer. Raises `ValidationError` (`passkey_invalid`)."""
    from webauthn import base64url_to_bytes, verify_registration_response
    from webauthn.helpers import bytes_to_base64url, parse_attestation_object

    _check_size(response)
    try:
        attestation = base64url_to_bytes(response["response"]["attestationObject"])
        attested = parse_attestation_object(attestation).fmt
        found = verify_registration_response(
            credential=response,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except Exception:  # noqa: BLE001  # a malformed answer has the library raise anything
        raise _invalid() from None
    if attested not in _FORMATS:
        raise _invalid()
    transports = response["response"].get("transports") or ()
    return NewPasskey(
        factor=factor_id(found.credential_id),
        credential=bytes_to_base64url(found.credential_id),
        public_key=bytes_to_base64url(found.credential_public_key),
        sign_count=found.sign_count,
        transports=tuple(one for one in transports if one in _TRANSPORTS),
    )


def assertion_options(
    party: RelyingParty, challenge: bytes, known: Sequence[str]
) -> dict[str, Any]:
    """What `navigator.credentials.get` takes, as JSON."""
    from webauthn import generate_authentication_options
    from webauthn.helpers import options_to_json_dict, structs

    options = generate_authentication_options(
        rp_id=party.id,
        challenge=challenge,
        timeout=TIMEOUT * 1000,
        allow_credentials=_descriptors(known),
        user_verification=structs.UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


def credential_of(response: dict[str, Any]) -> bytes:
    """The id of the key that an answer is of. Raises `ValidationError` (`passkey_invalid`)."""
    from webauthn import base64url_to_bytes

    _check_size(response)
    try:
        return base64url_to_bytes(str(response["rawId"]))
    except (KeyError, ValueError):
        raise _invalid() from None


def verify_assertion(
    party: RelyingParty, response: dict[str, Any], *, challenge: bytes, public_key: str
) -> int | None:
    """The counter of a key that has signed the challenge; None: it has not.

    Whether the counter has grown is for the transaction that takes it.
    """
    from webauthn import base64url_to_bytes, verify_authentication_response

    try:
        found = verify_authentication_response(
            credential=response,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=base64url_to_bytes(public_key),
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except Exception:  # noqa: BLE001  # a malformed answer has the library raise anything
        return None
    return found.new_sign_count


_TRANSPORTS: Final = frozenset({"usb", "nfc", "ble", "smart-card", "hybrid", "internal"})


def _descriptors(known: Sequence[str]) -> list[Any]:
    from webauthn import base64url_to_bytes
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(one)) for one in known]


def _check_size(response: dict[str, Any]) -> None:
    if len(msgspec.json.encode(response)) > MAX_RESPONSE:
        raise _invalid()


def _invalid() -> ValidationError:
    return ValidationError(
        "passkey_invalid",
        "this is no valid answer of a passkey for this address: begin again on the agent's pages",
        field="credential",
    )
