"""A key on a PKCS#11 token: HSM, smart card, or software token (PKCS #11 v3.1).

One session is opened at the first call and kept; the library is never used by two threads. The
keys of one label are the versions of one key, in the order of their CKA_ID: the highest wraps. A
key that can be exported is refused.

Algorithms, the first that key and token can do unless one is configured:

- `AES-GCM`: CKM_AES_GCM, `nonce (12) || ciphertext || tag (16)`; authenticates the context
- `AES-KWP`: CKM_AES_KEY_WRAP_PAD (RFC 5649), by wrapping a session object
- `AES-KW`: CKM_AES_KEY_WRAP (RFC 3394), the same
- `RSA-OAEP-SHA256`, `RSA-OAEP-SHA1`: CKM_RSA_PKCS_OAEP. Anybody may wrap with a public key; what
  is unwrapped is a vault's root key only if it opens the keyring.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import msgspec
from msgspec import Struct

from vault.crypto.random import random_bytes
from vault.seal.root_keys.credentials import read_credential
from vault.seal.root_keys.provider import KeyDescription, KeyProviderError, WrappedKey
from vault.seal.root_keys.shares import ROOT_KEY_SIZE

try:
    import pkcs11
    from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, MechanismFlag, ObjectClass
    from pkcs11.constants import TokenFlag
    from pkcs11.mechanisms import MGF
except ModuleNotFoundError as error:
    raise KeyProviderError(
        "key_provider_unsupported",
        "the library python-pkcs11 is not installed: pip install 'freehold[hsm]'",
    ) from error

NONCE: Final = 12
KEY_BITS: Final = 256
TAG_BITS: Final = 128
_GONE: Final = (
    pkcs11.DeviceError,
    pkcs11.DeviceRemoved,
    pkcs11.OperationActive,
    pkcs11.SessionClosed,
    pkcs11.SessionHandleInvalid,
    pkcs11.TokenNotPresent,
    pkcs11.TokenNotRecognised,
    pkcs11.UserNotLoggedIn,
)
"""Errors after which a session is of no more use."""
_PIN: Final = (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange)
_DENIED: Final = (pkcs11.FunctionRejected, pkcs11.AttributeSensitive)
_OAEP: Final = {
    "RSA-OAEP-SHA256": (Mechanism.SHA256, MGF.SHA256, None),
    "RSA-OAEP-SHA1": (Mechanism.SHA_1, MGF.SHA1, None),
}
_SESSION_KEY: Final = {
    Attribute.TOKEN: False,
    Attribute.EXTRACTABLE: True,
    Attribute.SENSITIVE: False,
}


class Pkcs11Settings(Struct, frozen=True):
    """Where the key is. Of `token` (its label), `serial` and `slot` (its id) those given must fit.

    The PIN is in a file, in the environment of this process, or among its systemd credentials.
    """

    module: str
    key_label: str
    key_id: bytes = b""
    token: str = ""
    serial: str = ""
    slot: int | None = None
    pin_file: str = ""
    pin_variable: str = ""
    pin_credential: str = ""
    algorithm: str = ""
    create_key: bool = False


def open_backend(settings: dict[str, Any]) -> "Pkcs11Backend":
    """See `vault.seal.root_keys.helper.BACKENDS`."""
    return Pkcs11Backend(msgspec.convert(settings, Pkcs11Settings))


class Pkcs11Backend:
    """See `KeyBackend`."""

    def __init__(self, settings: Pkcs11Settings) -> None:
        self._settings = settings
        self._session: Any = None
        self._slot: Any = None
        self._device = ""

    def describe(self) -> KeyDescription:
        """See `KeyBackend`."""
        with _errors():
            self._open()
            key = self._find_newest()
            return self._describe(key)

    def wrap(self, root_key: bytes, context: bytes) -> WrappedKey:
        """See `KeyBackend`."""
        with _errors():
            self._open()
            key = self._find_newest()
            algorithm, ciphertext = self._wrap(key, root_key, context)
            return WrappedKey(
                key=self._settings.key_label,
                version=key.id.hex(),
                algorithm=algorithm,
                ciphertext=ciphertext,
            )

    def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """See `KeyBackend`."""
        with _errors():
            self._open()
            found = self._find_version(wrapped)
            for key in found:
                with suppress(pkcs11.PKCS11Error):
                    root_key = self._unwrap(key, wrapped, context)
                    if len(root_key) == ROOT_KEY_SIZE:
                        return root_key
            self.close()  # TPM modules keep an operation that has failed for the session's life
            self._open()
            for key in self._find_version(wrapped):  # is it the token that fails, or what is there?
                algorithm, ciphertext = self._wrap(key, bytes(ROOT_KEY_SIZE), context)
                trial = WrappedKey(key=wrapped.key, algorithm=algorithm, ciphertext=ciphertext)
                self._unwrap(key, trial, context)
            raise KeyProviderError(
                "key_provider_wrong_key",
                f"{self._name(wrapped.key, wrapped.version)} does not open the stored root key: it "
                "is another key under the same name, or the database was altered; put the token in "
                "place that has the key",
            )

    def create_version(self) -> KeyDescription:
        """See `KeyBackend`."""
        settings = self._settings
        if settings.key_id or not settings.create_key:
            raise KeyProviderError(
                "key_provider_unsupported",
                "the agent makes keys on the token with `create_key: true` and without `key_id` "
                "only: generate the key with the token's tools",
            )
        with _errors():
            self._open()
            last = max((int.from_bytes(key.id) for key in self._keys()), default=0)
            number = last + 1
            key = self._session.generate_key(
                KeyType.AES,
                KEY_BITS,
                label=settings.key_label,
                id=number.to_bytes(max((number.bit_length() + 7) // 8, 1)),
                store=True,
                capabilities=(
                    MechanismFlag.ENCRYPT
                    | MechanismFlag.DECRYPT
                    | MechanismFlag.WRAP
                    | MechanismFlag.UNWRAP
                ),
                template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
            )
            return self._describe(key)

    def close(self) -> None:
        """See `KeyBackend`."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(pkcs11.PKCS11Error):
                session.close()

    def _open(self) -> None:
        """Log in, once. A PIN that is refused is the agent's to remember."""
        if self._session is not None:
            return
        settings = self._settings
        try:
            library = pkcs11.lib(settings.module)
        except (RuntimeError, pkcs11.PKCS11Error):
            raise KeyProviderError(
                "key_provider_unreachable",
                f"cannot load the PKCS#11 module {settings.module}: see that the file is there, "
                "and that its own configuration is found (`encryption.hsm.environment`)",
            ) from None
        token = self._find_token(library)
        if token.flags & TokenFlag.USER_PIN_LOCKED:
            raise KeyProviderError(
                "key_provider_pin_wrong",
                f"the PIN of token {token.label} is locked: reset it with the token's tools, and "
                "restart the agent",
            )
        if token.flags & TokenFlag.USER_PIN_FINAL_TRY:
            raise KeyProviderError(
                "key_provider_pin_wrong",
                f"one more wrong PIN locks token {token.label}, so none is tried: log in once with "
                "the token's tools, and restart the agent",
            )
        pin = read_credential(
            "PIN",
            file=settings.pin_file,
            variable=settings.pin_variable,
            credential=settings.pin_credential,
        )
        try:
            self._session = token.open(rw=settings.create_key, user_pin=pin)
        except _PIN:
            raise KeyProviderError(
                "key_provider_pin_wrong",
                f"token {token.label} refuses the PIN, which is not tried again: correct it in "
                "`encryption.hsm`, and restart the agent",
            ) from None
        except (pkcs11.PinLocked, pkcs11.PinExpired):
            raise KeyProviderError(
                "key_provider_pin_wrong",
                f"the PIN of token {token.label} is locked or has expired: set it with the token's "
                "tools, and restart the agent",
            ) from None
        self._slot = token.slot
        self._device = f"{token.manufacturer_id} {token.model}, token {token.label}"

    def _find_token(self, library: Any) -> Any:
        settings, found = self._settings, []
        for slot in library.get_slots(token_present=True):
            with suppress(pkcs11.PKCS11Error):
                token = slot.get_token()
                if (
                    token.flags & TokenFlag.TOKEN_INITIALIZED
                    and settings.token in ("", token.label)
                    and settings.serial in ("", token.serial.decode("utf-8", "replace").strip())
                    and settings.slot in (None, slot.slot_id)
                ):
                    found.append(token)
        if len(found) == 1:
            return found[0]
        given = ", ".join(
            f"{name} {value!r}"
            for name, value in (
                ("token", settings.token), ("serial", settings.serial), ("slot", settings.slot),
            )
            if value not in ("", None)
        )  # fmt: skip
        if found:
            raise KeyProviderError(
                "key_provider_unreachable", f"{len(found)} tokens fit {given}: give its serial"
            )
        raise KeyProviderError(
            "key_provider_unreachable",
            f"no token is there with {given}: see whether it is connected, and `pkcs11-tool "
            f"--module {settings.module} --list-slots`",
        )

    def _keys(self) -> list[Any]:
        """The keys with the label, in the order of their ids; of RSA the private ones."""
        settings = self._settings
        wanted: dict[Attribute, Any] = {Attribute.LABEL: settings.key_label}
        if settings.key_id:
            wanted[Attribute.ID] = settings.key_id
        found = []
        for kind in (ObjectClass.SECRET_KEY, ObjectClass.PRIVATE_KEY):
            found += list(self._session.get_objects({**wanted, Attribute.CLASS: kind}))
        return sorted(found, key=lambda key: (int.from_bytes(key.id), key.id))

    def _find_newest(self) -> Any:
        keys, settings = self._keys(), self._settings
        if not keys:
            made = (
                "`freehold operator init` makes it"
                if settings.create_key
                else "generate a non-extractable AES-256 key with the token's tools, or set "
                "`create_key: true`"
            )
            raise KeyProviderError(
                "key_provider_key_missing",
                f"{self._name(settings.key_label, settings.key_id.hex())} is not on the token, or "
                f"this user does not see it: {made}",
            )
        return _require_unexportable(keys[-1], self._name(settings.key_label, keys[-1].id.hex()))

    def _find_version(self, wrapped: WrappedKey) -> list[Any]:
        """The keys with the label and id of what is wrapped: one, or copies made by mistake."""
        wanted = {Attribute.LABEL: wrapped.key, Attribute.ID: bytes.fromhex(wrapped.version)}
        found: list[Any] = []
        for kind in (ObjectClass.SECRET_KEY, ObjectClass.PRIVATE_KEY):
            found += list(self._session.get_objects({**wanted, Attribute.CLASS: kind}))
        if found:
            return found
        if self._keys():
            raise KeyProviderError(
                "key_provider_version_missing",
                f"{self._name(wrapped.key, wrapped.version)}, which wraps the root key, is not on "
                "the token, but other keys are: restore it from the token's backup",
            )
        raise KeyProviderError(
            "key_provider_key_missing",
            f"{self._name(wrapped.key, wrapped.version)}, which wraps the root key, is not on the "
            "token, or this user does not see it: put the token in place that has it, or restore "
            "the token from its backup",
        )

    def _name(self, label: str, id_: str) -> str:
        return f"key {label!r}" + (f" with id {id_}" if id_ else "")

    def _describe(self, key: Any) -> KeyDescription:
        return KeyDescription(
            key=self._settings.key_label,
            version=key.id.hex(),
            algorithm=self._algorithms(key)[0],
            device=self._device,
        )

    def _algorithms(self, key: Any) -> list[str]:
        """What key and token can do, the best first. Raises `KeyProviderError`."""
        known = set(self._slot.get_mechanisms())
        able: list[str] = []
        if isinstance(key, pkcs11.PrivateKey):
            if Mechanism.RSA_PKCS_OAEP in known and _may(key, Attribute.DECRYPT):
                able = [*_OAEP]
        else:
            if Mechanism.AES_GCM in known and _may(key, Attribute.ENCRYPT, Attribute.DECRYPT):
                able.append("AES-GCM")
            if _may(key, Attribute.WRAP, Attribute.UNWRAP):
                if Mechanism.AES_KEY_WRAP_PAD in known:
                    able.append("AES-KWP")
                if Mechanism.AES_KEY_WRAP in known:
                    able.append("AES-KW")
        name = self._name(self._settings.key_label, key.id.hex())
        if not able:
            raise KeyProviderError(
                "key_provider_key_disabled",
                f"the attributes of {name} allow neither encrypting and decrypting nor wrapping "
                "and unwrapping by an algorithm of this token: set them, or generate another key",
            )
        chosen = self._settings.algorithm
        if chosen and chosen not in able:
            raise KeyProviderError(
                "key_provider_unsupported",
                f"{name} cannot be used with {chosen} here, but with {', '.join(able)}: change "
                "`encryption.hsm.algorithm`",
            )
        return [chosen] if chosen else able

    def _wrap(self, key: Any, root_key: bytes, context: bytes) -> tuple[str, bytes]:
        algorithms = self._algorithms(key)
        if algorithms[0] in _OAEP:
            return self._wrap_by_rsa(key, root_key, algorithms)
        if algorithms[0] == "AES-GCM":
            nonce = random_bytes(NONCE)
            return "AES-GCM", nonce + key.encrypt(
                root_key,
                mechanism=Mechanism.AES_GCM,
                mechanism_param=_gcm(nonce, context),
            )
        target = self._session.create_object(
            {
                **_SESSION_KEY,
                Attribute.CLASS: ObjectClass.SECRET_KEY,
                Attribute.KEY_TYPE: KeyType.AES,
                Attribute.VALUE: root_key,
            }
        )
        try:
            return algorithms[0], key.wrap_key(target, mechanism=_wrap_mechanism(algorithms[0]))
        finally:
            target.destroy()

    def _wrap_by_rsa(self, key: Any, root_key: bytes, hashes: list[str]) -> tuple[str, bytes]:
        """With the first hash that the token does OAEP with: there is no asking it which."""
        public = list(
            self._session.get_objects(
                {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: key.id}
            )
        )
        if not public:
            raise KeyProviderError(
                "key_provider_key_missing",
                f"the public key of {self._name(self._settings.key_label, key.id.hex())} is not on "
                "the token: import it with the same id",
            )
        *first, last = hashes
        for name in first:
            with suppress(pkcs11.ArgumentsBad, pkcs11.MechanismParamInvalid):
                return name, self._encrypt_by_rsa(public[0], root_key, name)
        return last, self._encrypt_by_rsa(public[0], root_key, last)

    def _encrypt_by_rsa(self, public: Any, root_key: bytes, name: str) -> bytes:
        encrypted: bytes = public.encrypt(
            root_key, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=_OAEP[name]
        )
        return encrypted

    def _unwrap(self, key: Any, wrapped: WrappedKey, context: bytes) -> bytes:
        opened: bytes
        ciphertext = wrapped.ciphertext
        if wrapped.algorithm in _OAEP:
            opened = key.decrypt(
                ciphertext,
                mechanism=Mechanism.RSA_PKCS_OAEP,
                mechanism_param=_OAEP[wrapped.algorithm],
            )
        elif wrapped.algorithm == "AES-GCM":
            opened = key.decrypt(
                ciphertext[NONCE:],
                mechanism=Mechanism.AES_GCM,
                mechanism_param=_gcm(ciphertext[:NONCE], context),
            )
        else:
            target = key.unwrap_key(
                ObjectClass.SECRET_KEY,
                KeyType.AES,
                ciphertext,
                mechanism=_wrap_mechanism(wrapped.algorithm),
                store=False,
                template=_SESSION_KEY,
            )
            try:
                opened = target[Attribute.VALUE]
            finally:
                target.destroy()
        return opened


def _wrap_mechanism(algorithm: str) -> Mechanism:
    match algorithm:
        case "AES-KWP":
            return Mechanism.AES_KEY_WRAP_PAD
        case "AES-KW":
            return Mechanism.AES_KEY_WRAP
        case _:
            raise KeyProviderError(
                "key_provider_unsupported",
                f"the root key was wrapped by {algorithm!r}, which this version does not know",
            )


def _gcm(nonce: bytes, context: bytes) -> Any:
    return GCMParams(nonce, context, TAG_BITS)


def _may(key: Any, *attributes: Attribute) -> bool:
    """Whether the attributes of a key are all set."""
    try:
        return all(key[attribute] for attribute in attributes)
    except pkcs11.AttributeTypeInvalid:
        return False


def _require_unexportable(key: Any, name: str) -> Any:
    if not _may(key, Attribute.SENSITIVE) or key[Attribute.EXTRACTABLE]:
        raise KeyProviderError(
            "key_provider_key_exportable",
            f"{name} can be read from the token (CKA_EXTRACTABLE, or not CKA_SENSITIVE): generate "
            "one that cannot",
        )
    return key


@contextmanager
def _errors() -> Iterator[None]:
    """What the library raises, as `KeyProviderError`."""
    try:
        yield
    except _GONE as error:
        raise KeyProviderError(
            "key_provider_unreachable",
            f"the token is gone or has ended the session ({type(error).__name__}): connect it",
        ) from None
    except _DENIED as error:
        raise KeyProviderError(
            "key_provider_denied",
            f"the token does not allow this user to do that ({type(error).__name__}): see the "
            "user's role and the token's policy",
        ) from None
    except (pkcs11.MechanismInvalid, pkcs11.FunctionNotSupported) as error:
        raise KeyProviderError(
            "key_provider_unsupported",
            f"the token lacks the algorithm ({type(error).__name__}): set another one as "
            "`encryption.hsm.algorithm`",
        ) from None
    except pkcs11.PKCS11Error as error:
        raise KeyProviderError(
            "key_provider_failed",
            f"the token answers with {type(error).__name__}: see its own log, and the vendor's "
            "description of the error",
        ) from None
