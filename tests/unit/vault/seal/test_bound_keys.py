"""vault.seal.bound_keys: what the keyring gives to stages that may not see it."""

import pytest

from vault.crypto import credentials
from vault.crypto.keyring import Keyring
from vault.seal.bound_keys import PepperedScheme, bind_audit_keys, bind_opaque_id

ONE, OTHER = (Keyring.create(1, org="org", vault=name) for name in ("one", "other"))


@pytest.mark.parametrize("kind", ["mint_token", "mint_session", "mint_api_key"])
def test_credentials_are_those_of_one_vault(kind: str) -> None:
    """What was minted is found and matches with the same pepper, and with no other."""
    scheme, stranger = PepperedScheme(ONE.pepper), PepperedScheme(OTHER.pepper)
    minted = getattr(scheme, kind)()
    located = scheme.locate(minted.text)
    assert located.id == minted.id
    assert scheme.matches(located, minted.secret_hash)
    assert not scheme.matches(located, None)
    assert not stranger.matches(stranger.locate(minted.text), minted.secret_hash)


def test_a_chosen_text_is_found() -> None:
    """As what was minted is."""
    scheme = PepperedScheme(ONE.pepper)
    adopted = scheme.adopt("chosen-text")
    assert scheme.matches(scheme.locate("chosen-text"), adopted.secret_hash)
    assert len(scheme.mint_accessor()) == len(credentials.mint_accessor())


def test_only_what_was_located_is_compared() -> None:
    """A look-alike that says what it hashes to is a mistake of ours."""
    with pytest.raises(TypeError):
        PepperedScheme(ONE.pepper).matches(object(), b"")  # type: ignore[arg-type]  # that is the point


def test_audit_keys() -> None:
    """The log's functions belong together, and to one vault."""
    keys, others = bind_audit_keys(ONE), bind_audit_keys(OTHER)
    assert keys.verify(keys.public, b"note", keys.sign(b"note"))
    assert not keys.verify(others.public, b"note", keys.sign(b"note"))
    assert keys.mac(b"x") == bind_audit_keys(ONE).mac(b"x") != others.mac(b"x")


def test_opaque_ids_are_of_one_vault_and_one_kind() -> None:
    """The same thing has the same id; at another vault, or as another kind, it has another."""
    here, elsewhere = bind_opaque_id(ONE), bind_opaque_id(OTHER)
    assert here("secret", "x") == bind_opaque_id(ONE)("secret", "x")
    assert len({here("secret", "x"), here("identity", "x"), elsewhere("secret", "x")}) == 3
    assert len(here("secret", "x")) == 16
