"""Promises of the errors: one base, and a group that keeps its type when taken apart."""

from __future__ import annotations

import inspect

from actors import errors


def test_all_share_one_base() -> None:
    """A caller can catch everything of the runtime's own, and no crash of an actor, by one name."""
    own = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == "actors.errors" and not issubclass(kind, ExceptionGroup)
    ]
    assert len(own) > 5
    assert all(issubclass(kind, errors.ActorError) for kind in own)


def test_split_keeps_the_type() -> None:
    """`except*` hands on a group of the same type, not a bare group."""
    for kind in (errors.SupervisorFailed, errors.StopFailed):
        match, rest = kind("s", [KeyError(), OSError()]).split(KeyError)
        assert isinstance(match, kind)
        assert isinstance(rest, kind)
        assert match.message == "s"
