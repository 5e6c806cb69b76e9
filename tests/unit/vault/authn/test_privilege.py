"""Nobody edits the credentials of someone more privileged."""

from functools import partial

import pytest

from vault.authn.privilege import require_authority_over, require_authority_over_key
from vault.errors import AuthorizationError
from vault.model.identity import Identity, Method, Permission

READ = Permission(capabilities=("read",), paths=("secret/*",))
BOTH = Permission(capabilities=("read", "list"), paths=("secret/*", "kv/*"))


def _nothing_stored(*_: object) -> None:
    """A store without policies."""


def _caller(*policies: str, permissions: tuple[Permission, ...] = ()) -> Identity:
    return Identity(
        id="c", name="c", method=Method.API_KEY, policies=policies, permissions=permissions
    )


@pytest.mark.parametrize(
    ("held", "edited", "fine"),
    [
        ((), (), True),
        (("a",), ("a",), True),
        (("a", "b"), ("a",), True),
        (("a",), ("default",), True),
        (("a",), ("a", "b"), False),
        (("a",), ("root",), False),
        (("root",), ("root",), True),
        (("root",), ("anything",), True),
        (("a*", "*"), ("ab",), False),
        (("A",), ("a",), False),
        (("root,",), ("root",), False),
    ],
)
def test_policies(held: tuple[str, ...], edited: tuple[str, ...], fine: bool) -> None:
    """An edit takes every policy of the edited, by its exact name; root covers all."""
    for check in (
        partial(require_authority_over, _nothing_stored),
        lambda c, p: require_authority_over_key(_nothing_stored, c, p, ()),
    ):
        if fine:
            check(_caller(*held), edited)
        else:
            with pytest.raises(AuthorizationError) as caught:
                check(_caller(*held), edited)
            assert caught.value.code == "more_privileged"


def test_a_cut_down_caller() -> None:
    """A key with permissions edits nobody, root's included; it may make keys within itself."""
    for policies in (("a",), ("root",)):
        with pytest.raises(AuthorizationError):
            require_authority_over(_nothing_stored, _caller(*policies, permissions=(BOTH,)), ())
    cut = _caller("a", permissions=(BOTH,))
    require_authority_over_key(_nothing_stored, cut, ("a",), (READ,))
    require_authority_over_key(_nothing_stored, cut, ("a",), (BOTH, READ))
    wider = Permission(capabilities=("read",), paths=("*",))
    for wanted in ((), (wider,), (READ, wider)):
        with pytest.raises(AuthorizationError):
            require_authority_over_key(_nothing_stored, cut, ("a",), wanted)
    with pytest.raises(AuthorizationError):
        require_authority_over_key(
            _nothing_stored, _caller("a", permissions=(READ,)), ("a",), (BOTH,)
        )
