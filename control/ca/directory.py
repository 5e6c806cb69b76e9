"""The authority's files: what the control plane needs to issue; of a root its certificate alone.

    state.json                    `Rollover`: which authority issues, which one is trusted beside it
    <id>/root.pem                 the root's certificate; its key is elsewhere
    <id>/intermediate.key         P-384, mode 0600
    <id>/intermediate.csr         what a root was asked to sign
    <id>/intermediate.pem         once it has
    <id>/cross.pem                root certified by the root before, then that root; in a rollover
    server.pem, server.key        the listener's

The directory has mode 0700. A file is written whole or not at all, and `state.json` last: a crash
leaves the state before or the state after.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509 import Certificate

from control.ca.issuer import IssuingState
from control.ca.rollover import Phase, Rollover, finish_rollover, start_rollover, switch_authority
from control.errors import ConflictError, NotFoundError, UnavailableError
from protocols import json_text
from protocols.link_transport.tls_contexts import TlsIdentity
from protocols.pki.authority import (
    CrossCertificate,
    IssuingAuthority,
    RootAuthority,
    is_cross,
    same_authority,
)
from protocols.pki.ceremony import create_root, cross_sign, sign_intermediate
from protocols.pki.certificates import parse_pem_chain, public_key, to_der, to_pem
from protocols.pki.chain import verify_control_plane
from protocols.pki.errors import AuthorityError, ChainError, PkiError, PkiKeyError
from protocols.pki.files import (
    PUBLIC_MODE,
    SECRET_MODE,
    read_file,
    sync_directory,
    write_atomically,
)
from protocols.pki.issuance import Host, issue_server
from protocols.pki.keys import KeyKind, key_hash, load_curve_key, new_curve_key, store_key
from protocols.pki.requests import create_authority_csr
from protocols.pki.trust import TrustStore

DIRECTORY_MODE: Final = 0o700
STATE_FILE: Final = "state.json"
FIRST_AUTHORITY: Final = "1"

_NOT_CROSS_SIGNED: Final = (
    "no agent would follow this root: it was made anew, and that is proof to them only if it is "
    "signed by its own key, with a path length of 1 or more, or none, and the certificate that "
    "they trust has 2 or more, or none; install what is signed with the root's present certificate"
)


class CaDirectory:
    """One authority directory. Its operations are an operator's: rare, one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read_state(self) -> Rollover:
        """Raises `NotFoundError` before `init`, `UnavailableError` for a file that is damaged."""
        file = self.path / STATE_FILE
        if not file.exists():
            way = f"freehold control ca init --root FOLDER --directory {self.path}"
            raise NotFoundError("ca_missing", f"no authority in {self.path}; make one first: {way}")
        try:
            return json_text.decode(read_file(file), type=Rollover)
        except (msgspec.DecodeError, PkiError) as error:
            raise UnavailableError("ca_damaged", f"{file} cannot be read") from error

    def create_request(self, label: str) -> bytes:
        """Make the intermediate's key and the request for it, in PEM; the same when it is there.

        Raises `PkiKeyError` when a file cannot be written.
        """
        return self._request(self._active_id(), label)

    def install_intermediate(self, intermediate: bytes, root: bytes) -> None:
        """Install an intermediate certificate, in PEM. The first authority becomes active.

        Raises `PkiError` when it does not fit the key or the profile, `ConflictError` for another
        root than the active one, or for a root that was made anew in a way that no agent follows
        (`TrustStore.updated`). Nothing is written then.
        """
        active = self._active_id()
        self._check_present(active, first_certificate(root))
        self._install(active, intermediate, root)

    def renew_intermediate(self, root: RootAuthority, now: int) -> None:
        """Certify the active intermediate for another year. Raises as `install_intermediate`."""
        active = self._active_id()
        self._check_present(active, root.certificate)
        self._sign(active, root, "", now)

    def create_authority(self, root_folder: Path, label: str, now: int) -> IssuingAuthority:
        """Make a root in `root_folder` (to be taken away) and an intermediate here.

        Raises `ConflictError` when there is an authority here, `PkiKeyError` for files.
        """
        if (self.path / STATE_FILE).exists():
            raise ConflictError(
                "ca_exists",
                f"{self.path} has an authority already: replace it with 'freehold control ca "
                "rollover'",
            )
        root = make_root(root_folder, label, now)
        self._sign(FIRST_AUTHORITY, root, label, now)
        return self.load_authority(FIRST_AUTHORITY)

    def rollover_start(
        self, old: RootAuthority, new_folder: Path, label: str, now: int
    ) -> Rollover:
        """Make the next root in `new_folder`, certified by the old one, and announce it.

        Raises `ConflictError` during a rollover, and when `old` is not the root that is active.
        """
        incoming, announced = self._announce_next(now)
        if old.certificate != self.load_authority(self.read_state().active).root:
            raise ConflictError(
                "root_mismatch", "this is not the root that is active: `control ca get` names it"
            )
        root = make_root(new_folder, label, now)
        self._sign(incoming, root, label, now)
        cross = to_pem([cross_sign(old, root.certificate, now), old.certificate])
        write_atomically(self._folder(incoming) / "cross.pem", cross, PUBLIC_MODE, replace=True)
        return self._save(announced)

    def rollover_request(self, label: str) -> bytes:
        """The request, in PEM, of the next intermediate under a next root of the user's own.

        The same when it was made already. Raises `ConflictError` during a rollover.
        """
        return self._request(self._announce_next(0)[0], label)

    def rollover_adopt(
        self, intermediate: bytes, root: bytes, cross: bytes | RootAuthority, now: int
    ) -> Rollover:
        """Announce a next root of the user's own, with the certificates that it has signed; PEM.

        `cross`: the next root's name and key as certified by the present root, or the present root
        itself to certify it. Nothing is announced unless agents that trust only the present root
        accept what the next authority issues. Raises `ConflictError` during a rollover,
        `NotFoundError` before `rollover_request`, `PkiError` for certificates that do not fit.
        """
        incoming, announced = self._announce_next(now)
        if not (self._folder(incoming) / "intermediate.key").exists():
            raise NotFoundError(
                "no_request",
                "no request was made for this key: run 'freehold control ca rollover request' "
                "first",
            )
        present, own = self.load_authority(self.read_state().active).root, first_certificate(root)
        if isinstance(cross, RootAuthority):
            if cross.certificate != present:
                raise ConflictError(
                    "root_mismatch",
                    "this is not the root that is active: `control ca get` names it",
                )
            crossed = cross_sign(cross, own, now)
        else:
            crossed = first_certificate(cross)
        key = load_curve_key(self._folder(incoming) / "intermediate.key", KeyKind.AUTHORITY)
        check_succession(
            IssuingAuthority.verified(
                key, first_certificate(intermediate), own, CrossCertificate(crossed, present)
            ),
            now,
        )
        self._install(incoming, intermediate, root)
        leads = to_pem([crossed, present])
        write_atomically(self._folder(incoming) / "cross.pem", leads, PUBLIC_MODE, replace=True)
        return self._save(announced)

    def _announce_next(self, now: int) -> tuple[str, Rollover]:
        """The next authority's id, and the state that announces it."""
        state = self.read_state()
        incoming = str(int(state.active) + 1)
        return incoming, start_rollover(state, incoming, now)

    def rollover_switch(self, now: int, *, force: bool = False) -> Rollover:
        """Issue from the next authority (`rollover.switch_authority`)."""
        return self._save(switch_authority(self.read_state(), now, force=force))

    def rollover_finish(self, now: int, *, force: bool = False) -> Rollover:
        """Stop trusting the old root (`rollover.finish_rollover`).

        Agents that were away and trust only the old root are still led to the new one, unless
        `force` says that the old root must not be believed.
        """
        state = self.read_state()
        finished = finish_rollover(state, now, force=force)
        if force:
            (self._folder(state.active) / "cross.pem").unlink(missing_ok=True)
            sync_directory(self._folder(state.active))
        return self._save(finished)

    def issuing_state(self) -> IssuingState:
        """The authority to issue with and those to trust now.

        Raises as `read_state`, and `PkiError`.
        """
        state = self.read_state()
        active = self.load_authority(state.active)
        if not state.other:
            return IssuingState(active, TrustStore.from_roots([active.root]), (), active.cross)
        other = self.load_authority(state.other)
        newer = active if state.phase is Phase.SWITCHED else other
        trust = TrustStore.from_roots([active.root, other.root])
        return IssuingState(active, trust, (other.certificate,), newer.cross)

    def load_authority(self, authority_id: str) -> IssuingAuthority:
        """One authority. Raises `PkiError` for files that are missing or do not fit."""
        cross_file = self._folder(authority_id) / "cross.pem"
        cross = (
            CrossCertificate(*parse_pem_chain(read_file(cross_file)))
            if cross_file.exists()
            else None
        )
        return IssuingAuthority.verified(*self._load_parts(authority_id), cross)

    def issue_server_certificate(
        self, hosts: Sequence[Host], now: int, name: str = "server"
    ) -> TlsIdentity:
        """A new key and certificate for the listener, in files of this name. Raises `PkiError`."""
        authority = self.issuing_state().authority
        key = new_curve_key(KeyKind.LEAF)
        leaf = issue_server(authority, hosts, key.public_key(), now)
        identity = TlsIdentity(self.path / f"{name}.pem", self.path / f"{name}.key")
        store_key(identity.key, key, replace=True)
        write_atomically(
            identity.chain, to_pem([leaf, *authority.issuers]), PUBLIC_MODE, replace=True
        )
        return identity

    def _sign(self, authority_id: str, root: RootAuthority, label: str, now: int) -> None:
        request = self._request(authority_id, f"{label} intermediate {authority_id}")
        signed = sign_intermediate(root, request, now)
        self._install(authority_id, to_pem([signed]), to_pem([root.certificate]))

    def _request(self, authority_id: str, label: str) -> bytes:
        folder = self._folder(authority_id)
        request = folder / "intermediate.csr"
        if not request.exists():
            key_file = folder / "intermediate.key"
            if not key_file.exists():
                store_key(key_file, new_curve_key(KeyKind.AUTHORITY))
            key = load_curve_key(key_file, KeyKind.AUTHORITY)
            write_atomically(request, create_authority_csr(key, label), PUBLIC_MODE)
        return read_file(request)

    def _install(self, authority_id: str, intermediate: bytes, root: bytes) -> None:
        folder = self._folder(authority_id)
        key = load_curve_key(folder / "intermediate.key", KeyKind.AUTHORITY)
        signed, above = first_certificate(intermediate), first_certificate(root)
        IssuingAuthority.verified(key, signed, above)
        write_atomically(folder / "root.pem", to_pem([above]), PUBLIC_MODE, replace=True)
        write_atomically(folder / "intermediate.pem", to_pem([signed]), PUBLIC_MODE, replace=True)
        if not (self.path / STATE_FILE).exists():
            self._save(Rollover(phase=Phase.STEADY, active=authority_id))

    def _check_present(self, active: str, root: Certificate) -> None:
        if not (self.path / STATE_FILE).exists():
            return
        present = first_certificate(read_file(self.path / active / "root.pem"))
        if not same_authority(root, present):
            raise ConflictError(
                "root_mismatch",
                "this is not the root that is active (`control ca get` names it), and no agent "
                "trusts it; `control ca rollover start`, or `request` and `adopt` for a root of "
                "your own, lead them to another",
            )
        if root != present and not is_cross(root, root, present):
            raise ConflictError("root_unfollowed", _NOT_CROSS_SIGNED)

    def _load_parts(
        self, authority_id: str
    ) -> tuple[EllipticCurvePrivateKey, Certificate, Certificate]:
        folder = self.path / authority_id
        key = load_curve_key(folder / "intermediate.key", KeyKind.AUTHORITY)
        signed, root = (
            first_certificate(read_file(folder / name)) for name in ("intermediate.pem", "root.pem")
        )
        return key, signed, root

    def _active_id(self) -> str:
        return self.read_state().active if (self.path / STATE_FILE).exists() else FIRST_AUTHORITY

    def _folder(self, authority_id: str) -> Path:
        folder = self.path / authority_id
        make_private_folder(self.path)
        make_private_folder(folder)
        return folder

    def _save(self, state: Rollover) -> Rollover:
        write_atomically(
            self.path / STATE_FILE, msgspec.json.encode(state), SECRET_MODE, replace=True
        )
        return state


def check_succession(incoming: IssuingAuthority, now: int) -> None:
    """Check that agents which trust only the root before accept the next authority.

    The check verifies a certificate that is made for it and thrown away, as an agent would: names,
    path lengths and lifetimes of certificates that were made elsewhere. Raises `ChainError`,
    `AuthorityError`.
    """
    if incoming.cross is None:
        raise AuthorityError("the next root is not certified by the present one")
    leaf = issue_server(incoming, ["localhost"], new_curve_key(KeyKind.LEAF).public_key(), now)
    shown = [to_der(certificate) for certificate in (leaf, *incoming.issuers)]
    before = TrustStore.from_roots([incoming.cross.signer])
    after = before.updated([incoming.cross.signer, incoming.root], incoming.cross.certificate)
    for trust in (before, after, TrustStore.from_roots([incoming.root])):
        verify_control_plane(shown if trust is not after else shown[:2], trust, now)


def make_root(folder: Path, label: str, now: int) -> RootAuthority:
    """A new root: `root.key` (mode 0600) and `root.pem` in a folder that is then taken away.

    Raises `PkiKeyError` when there is one already: a root's key is never replaced.
    """
    make_private_folder(folder)
    key = new_curve_key(KeyKind.AUTHORITY)
    store_key(folder / "root.key", key)
    # The name tells roots apart: a verifier looks for an issuer by its name.
    root = create_root(key, f"{label} root {key_hash(key.public_key()).hex()[:8]}", now)
    write_atomically(folder / "root.pem", to_pem([root.certificate]), PUBLIC_MODE)
    return root


def load_root(folder: Path) -> RootAuthority:
    """The root that `make_root` left in a folder. Raises `PkiError`."""
    key = load_curve_key(folder / "root.key", KeyKind.AUTHORITY)
    certificate = first_certificate(read_file(folder / "root.pem"))
    if key_hash(key.public_key()) != key_hash(public_key(certificate)):  # not secret: public
        raise ConflictError("root_mismatch", f"key and certificate in {folder} are two roots'")
    return RootAuthority(key, certificate)


def make_private_folder(folder: Path) -> None:
    """A folder of mode 0700, whatever the umask. Raises `PkiKeyError`."""
    if folder.is_dir():
        return
    try:
        folder.mkdir(mode=DIRECTORY_MODE, parents=True)
        folder.chmod(DIRECTORY_MODE)
    except OSError as error:
        raise PkiKeyError(f"cannot make {folder}: {error.strerror}") from error
    sync_directory(folder.parent)


def first_certificate(data: bytes) -> Certificate:
    """The first certificate of a PEM file: its subject; others are its issuers."""
    found = parse_pem_chain(data)
    if not found:
        raise ChainError("a PEM file without a certificate")
    return found[0]
