"""Plots are well-formed, to scale, and readable on light and dark pages."""

from xml.etree import ElementTree as ET

from loadtests.plot import Axis, bar_chart, line_chart

read = ET.fromstring  # our own picture
SVG = "{http://www.w3.org/2000/svg}"


def words(picture: str) -> list[str]:
    """All text in it, the title's element and the style left out."""
    return [found.text or "" for found in read(picture).iter(f"{SVG}text")]


def test_bars_are_to_scale_and_say_their_figures() -> None:
    """Twice as much is twice as long."""
    picture = bar_chart("t", {"read & write": {"one": 1000.0, "two": 2000.0}}, unit="/s")
    drawn = [
        float(found.attrib["width"])
        for found in read(picture).iter(f"{SVG}rect")
        if "stroke" in found.attrib
    ]
    assert drawn[1] == 2 * drawn[0]
    assert {"read & write", "1,000 /s", "2,000 /s", "one", "two"} <= set(words(picture))


def test_lines_have_a_dot_at_each_point() -> None:
    """To scale: the middle of a linear axis is half its value, of a logarithmic one its root."""
    series = {"s": [(1.0, 0.0), (10.0, 5.0), (100.0, 10.0)]}
    picture = line_chart("t", series, Axis("x", logarithmic=True), Axis("y"))
    dots = [
        (float(dot.attrib["cx"]), float(dot.attrib["cy"]))
        for dot in read(picture).iter(f"{SVG}circle")
    ]
    assert dots[1] == ((dots[0][0] + dots[2][0]) / 2, (dots[0][1] + dots[2][1]) / 2)
    assert {"x", "y", "1", "10", "100"} <= set(words(picture))
