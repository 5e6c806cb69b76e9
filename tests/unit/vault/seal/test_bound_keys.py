"""vault.seal.bound_keys: what the keyring gives to stages that may not see it."""

import pytest

from vault.crypto.keyring import Keyring
from vault.seal.bound_keys import LimitKeys, PepperedScheme, bind_opaque_id

ONE, OTHER = (Keyring.create(1, org="org", vault=name) for name in ("one", "other"))


def test_only_what_was_located_is_compared() -> None:
    """A look-alike that says what it hashes to is a mistake of ours."""
    with pytest.raises(TypeError):
        PepperedScheme(ONE.pepper).matches(object(), b"")  # type: ignore[arg-type]  # that is the point


def test_opaque_ids_are_of_one_vault_and_one_kind() -> None:
    """The same thing has the same id; at another vault, or as another kind, it has another."""
    here, elsewhere = bind_opaque_id(ONE), bind_opaque_id(OTHER)
    assert here("secret", "x") == bind_opaque_id(ONE)("secret", "x")
    assert len({here("secret", "x"), here("identity", "x"), elsewhere("secret", "x")}) == 3
    assert len(here("secret", "x")) == 16


def test_messages_between_agents_are_of_one_vault_and_one_sender() -> None:
    """All agents of a vault have the same keys; no other vault or sender opens what one seals."""
    here, peer, elsewhere = LimitKeys(ONE), LimitKeys(ONE), LimitKeys(OTHER)
    assert here.channel == peer.channel != elsewhere.channel
    box = here.session(b"sender").seal(b"text", b"context")
    assert peer.session(b"sender").open_or_none(box, b"context") == b"text"
    assert peer.session(b"sender").open_or_none(box, b"other context") is None
    assert peer.session(b"another").open_or_none(box, b"context") is None
    assert elsewhere.session(b"sender").open_or_none(box, b"context") is None
