import pytest
import typer

from ui.cli.arguments import parse_pairs, without_empty


def test_pairs_are_split_at_the_first_sign() -> None:
    """A value may hold the sign, or be empty; a later pair wins."""
    assert parse_pairs(["a=1=2", "b=", "b=3"]) == {"a": "1=2", "b": "3"}
    assert parse_pairs(None) == {}


@pytest.mark.parametrize("text", ["a", "=b", ""])
def test_what_is_no_pair_is_wrong_usage(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(typer.BadParameter):
        parse_pairs([text])


def test_given_leaves_out_what_was_not_given() -> None:
    """False, 0 and empty lists were given; None and empty text were not."""
    assert without_empty(a=None, b="", c=False, d=0, e=[], f="x") == {
        "c": False,
        "d": 0,
        "e": [],
        "f": "x",
    }
