"""A plot is well-formed, inside its frame, and true to scale."""

import re
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from bench.plots import HEIGHT, WIDTH, draw

SVG = "{http://www.w3.org/2000/svg}"
amounts = st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=8)


def circles(svg: str) -> list[tuple[float, float]]:
    found = ElementTree.fromstring(svg).iter(f"{SVG}circle")
    return [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in found]


@given(amounts, st.data())
def test_every_point_is_inside_the_frame(xs: list[float], data: st.DataObject) -> None:
    ys = data.draw(st.lists(st.floats(1e-6, 1e12), min_size=len(xs), max_size=len(xs)))
    points = circles(draw("costs", "blobs", "ms", xs, ys))
    assert len(points) == len(xs)
    assert all(0 <= left <= WIDTH and 0 <= top <= HEIGHT for left, top in points)


def test_ten_times_more_is_always_as_far() -> None:
    points = circles(draw("t", "x", "y", [1, 10, 100], [1, 10, 100]))
    steps = {(round(b[0] - a[0]), round(b[1] - a[1])) for a, b in pairwise(points)}
    assert len(steps) == 1
    ((right, down),) = steps
    assert right > 0 > down


def test_what_is_flat_lies_flat() -> None:
    assert len({top for _, top in circles(draw("t", "x", "y", [1, 10, 100], [5, 5, 5]))}) == 1


def test_the_title_s_own_signs_do_no_harm() -> None:
    svg = draw('a < b & "c"', "<x>", "y", [1], [1])
    texts = [each.text for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert 'a < b & "c"' in texts
    assert not re.search(r"<x>", svg)
