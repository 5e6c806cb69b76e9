"""HCL 1 as Vault's policies use it: what is read, what is refused and where, and in which time."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.model.acl import hcl
from vault.model.acl.hcl import Block, HclError, Literal, Node, Sequence, parse_hcl

_LETTERS = ' \n"\\{}[]=,#/*<-$.0123abEOFx_true\u00e9'


def plain(node: Node) -> object:
    """A tree as lists and values."""
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Sequence):
        return [plain(one) for one in node.items]
    return [(item.keys, plain(item.value)) for item in node.items]


def test_each_form_is_read() -> None:
    """Labels, blocks, lists, comments, numbers, heredocs, interpolations, escapes."""
    text = """
    # one comment
    path "a/*" { caps = ["x", "y",] } // another
    path "b" { n = -0x1F, o = 017, f = 1.5e3, t = true } /* a
    third */ text = <<EOF
  kept
EOF
    cut = <<-END
      kept
      END
    s = "\\"\\u00e9\\n${ "in" }"
    """
    assert plain(parse_hcl(text)) == [
        (("path", "a/*"), [(("caps",), ["x", "y"])]),
        (("path", "b"), [(("n",), -31), (("o",), 15), (("f",), 1500.0), (("t",), True)]),
        (("text",), "  kept\n"),
        (("cut",), "kept\n"),
        (("s",), '"\u00e9\n${ "in" }'),
    ]


def test_json_is_read_as_blocks() -> None:
    """An object in an object, also in a list, is what a block is."""
    text = '{"path": {"a": {"caps": ["x"]}}, "p": [{"b": 1}, {"b": null}]}'
    assert plain(parse_hcl(text)) == [
        (("path",), [(("a",), [(("caps",), ["x"])])]),
        (("p",), [(("b",), 1)]),
        (("p",), [(("b",), None)]),
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('path "x" {;}', "At 1:11: illegal char"),
        ("\n\n  a=;", "At 3:5: illegal char"),
        ('path "a" {', "At 1:11: expected a name, found the end"),
        ('"', "At 1:1: literal not terminated"),
        ('a = "\n"', "At 1:6: literal not terminated"),
        ("a=[1 2]", "At 1:6: expected ',' or ']', found a number"),
        ('a "b" = 1', "At 1:7: expected '{' after a label, found '='"),
        ("a=09", "At 1:3: illegal octal number"),
        ('a="\\ud800"', "At 1:4: no character has this number"),
        ('a="\\q"', "At 1:4: illegal char escape"),
        ("/* a", "At 1:1: comment not terminated"),
        ("a=<<EOF\nx", "At 1:3: heredoc not terminated"),
        ("a=" + "1" * 101, "At 1:3: a number has more than 100 digits"),
        ("a {" * 20, "At 1:48: blocks are nested more than 16 deep"),
        ("a=" + "[" * 20, "At 1:18: lists are nested more than 16 deep"),
        ("{", "it begins as JSON"),
        ('{"a":' * 20 + "1" + "}" * 20, "values are nested more than 16 deep"),
        ("#" * (hcl.MAX_CHARACTERS + 1), "the text is longer than"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, fault: str) -> None:
    """Line and column from 1."""
    with pytest.raises(HclError) as caught:
        parse_hcl(text)
    assert str(caught.value).startswith(fault)


@given(st.text(_LETTERS, max_size=200) | st.text(max_size=50))
def test_any_text_is_read_or_refused(text: str) -> None:
    """With an `HclError` and nothing else."""
    with suppress(HclError):
        assert isinstance(parse_hcl(text), Block)


def test_no_error_repeats_a_value() -> None:
    """It may be a secret that somebody has put into the wrong place."""
    with pytest.raises(HclError) as caught:
        parse_hcl('path "a" "hunter2" = 1')
    assert "hunter2" not in str(caught.value)
