"""Who is asking."""

from vault.model.identity import ROOT_POLICY, Method, service_identity


def test_background_work_has_a_name_and_every_right() -> None:
    """No user or token can be called so: their ids and names have no colon."""
    found = service_identity("key-rotation")
    assert (found.id, found.name) == ("service:key-rotation", "service:key-rotation")
    assert (found.method, found.policies) == (Method.SERVICE, (ROOT_POLICY,))
