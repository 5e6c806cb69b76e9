"""File keys open for whom they were wrapped, in the backup for which they were."""

import pickle

import pytest

from vault.crypto.backup_keys import BackupKeys, Identity, Recipient, new_file_key, stream_key
from vault.crypto.errors import AuthenticationFailed, MalformedEncoding
from vault.crypto.keyring import Keyring

KEYRING = Keyring.create(1, org="org", vault="vault")
CONTEXT = b"context"


def test_by_each_keyring_of_the_vault() -> None:
    """Rotating and retiring a KEK changes neither the file key nor who signs."""
    file_key, keys = new_file_key(), BackupKeys(KEYRING)
    later = BackupKeys(KEYRING.rotate(2).retire(1).at_epoch(9))
    assert later.unwrap(keys.wrap(file_key, CONTEXT), CONTEXT) == file_key
    assert later.note.public == keys.note.public


def test_no_other_key_or_context_opens_it() -> None:
    """Another vault's keyring, another backup, altered bytes."""
    keys = BackupKeys(KEYRING)
    wrap = keys.wrap(new_file_key(), CONTEXT)
    other = BackupKeys(Keyring.create(1, org="org", vault="vault"))
    with pytest.raises(AuthenticationFailed):
        other.unwrap(wrap, CONTEXT)
    with pytest.raises(AuthenticationFailed):
        keys.unwrap(wrap, b"another")
    for place in range(len(wrap.sealed)):
        changed = bytearray(wrap.sealed)
        changed[place] ^= 1
        with pytest.raises(AuthenticationFailed):
            keys.unwrap(type(wrap)("keyring", bytes(changed)), CONTEXT)
    with pytest.raises(AuthenticationFailed):
        keys.unwrap(type(wrap)("keyring", b""), CONTEXT)


def test_for_a_recipient() -> None:
    """Its identity alone opens it, in this backup alone."""
    identity, text = Identity.create()
    file_key = new_file_key()
    wrap = Recipient(identity.recipient.text).wrap(file_key, CONTEXT)
    assert wrap.recipient == identity.recipient.text
    assert Identity(f"{text}\n").unwrap(wrap, CONTEXT) == file_key
    other, _ = Identity.create()
    for holder, context in ((other, CONTEXT), (identity, b"another")):
        with pytest.raises(AuthenticationFailed):
            holder.unwrap(wrap, context)
    for sealed in (b"", wrap.sealed[:-1], bytes(80)):
        with pytest.raises(AuthenticationFailed):
            identity.unwrap(type(wrap)("x25519", sealed, wrap.recipient), CONTEXT)


def test_texts_that_are_no_keys() -> None:
    """A recipient is no identity; there is one form of each."""
    identity, text = Identity.create()
    public = identity.recipient.text
    for wrong in ("", text, public[:-2], public.upper(), public + "00", "x" + public):
        with pytest.raises(MalformedEncoding):
            Recipient(wrong)
    for wrong in (public, text[:-1], text.lower()):
        with pytest.raises(MalformedEncoding):
            Identity(wrong)


def test_nothing_shows_or_copies_keys() -> None:
    """By accident."""
    identity, text = Identity.create()
    keys = BackupKeys(KEYRING)
    for holder in (identity, keys):
        with pytest.raises(TypeError):
            pickle.dumps(holder)
        assert text.rpartition(":")[2] not in repr(holder)
        assert KEYRING.backup.hex() not in repr(holder)


def test_each_stream_has_its_own_key() -> None:
    """By file key and by header."""
    file_key = new_file_key()
    made = {
        stream_key(key, header) for key in (file_key, new_file_key()) for header in (b"a", b"b")
    }
    assert len(made) == 4
