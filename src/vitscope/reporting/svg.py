"""Panels of a drawn figure as elements of the page: its colours, its font, ids of their own."""

import re
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from xml.etree import ElementTree

from vitscope.reporting.drawing import BOTTOM, TOP, Drawing

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
ElementTree.register_namespace("", "http://www.w3.org/2000/svg")


def panel_svgs(drawing: Drawing, prefix: str) -> dict[str, str]:
    """Each panel as an SVG element without title and legend, which the page has in HTML.

    Args:
        drawing: A drawn plate.
        prefix: Begins every id, so that figures on one page cannot borrow each other's.

    Returns:
        By panel label: an `<svg>` with colours as CSS variables (`--c` and the hexadecimal digits,
        the colour on white as fallback), series as classes, and readings in `.hits`.
    """
    return {
        label: _panel(drawing, label, f"{prefix}-{number}-")
        for number, label in enumerate(drawing.boxes)
    }


def colours_in(svgs: str) -> set[str]:
    """Hexadecimal colours that the elements refer to as CSS variables."""
    return {"#" + digits for digits in re.findall(r"var\(--c([0-9a-f]{6})", svgs)}


def _panel(drawing: Drawing, label: str, prefix: str) -> str:
    number = list(drawing.boxes).index(label) + 1
    root = ElementTree.fromstring(drawing.svg)
    figure = next(iter(root.findall(f"{SVG}g")))
    axes = [group for group in figure if group.get("id") == f"axes_{number}"]
    clips = [defs for defs in root.findall(f"{SVG}defs") if defs.find(f"{SVG}clipPath") is not None]
    kept = ElementTree.Element(f"{SVG}g")
    kept.extend([*_borrowed(root, axes), *axes, *clips])
    for parent in list(kept.iter()):  # the page writes the panel's name itself
        for child in [c for c in parent if c.get("id") == "panel-name"]:
            parent.remove(child)
    _rename(kept, prefix)
    text = ElementTree.tostring(kept, encoding="unicode")
    text = text.replace(' xmlns="http://www.w3.org/2000/svg"', "")
    text = re.sub(r"(#[0-9a-f]{6})(?=[;\"])", r"var(--c\1, \1)", text).replace("--c#", "--c")
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r">\s+<", "><", text)
    left, top, width, height = drawing.boxes[label]
    return (
        f'<svg viewBox="{left:g} {top:g} {width:g} {height:g}" aria-hidden="true" '
        f'focusable="false">{text}{_hits(drawing, label)}</svg>'
    )


def _borrowed(
    root: ElementTree.Element, axes: list[ElementTree.Element]
) -> Iterator[ElementTree.Element]:
    """Marks that a panel uses and another one defines: matplotlib writes each once a file."""
    own = {element.get("id") for group in axes for element in group.iter()}
    used = {use.get(HREF, "#")[1:] for group in axes for use in group.iter(f"{SVG}use")}
    for defs in root.iter(f"{SVG}defs"):
        if any(child.get("id") in used - own for child in defs):
            yield defs


def _rename(group: ElementTree.Element, prefix: str) -> None:
    """Series become classes; ids that are referred to get the prefix, others go."""
    whole = ElementTree.tostring(group, encoding="unicode")
    used = set(re.findall(r"(?:url\(|href=\")#([\w-]+)", whole))
    for element in group.iter():
        name = element.attrib.pop("id", None)
        if name in used:
            element.set("id", prefix + name)  # pyright: ignore[reportOperatorIssue]
        elif name and name.startswith("series-"):
            element.set("class", f"series {name}")
        if target := element.attrib.pop(HREF, None):
            element.set("href", "#" + prefix + target[1:])
        if clip := element.get("clip-path"):
            element.set("clip-path", clip.replace("#", "#" + prefix))


def _hits(drawing: Drawing, label: str) -> str:
    """Invisible columns that tell the readings when pointed at."""
    readings = drawing.readings[label]
    if not readings:
        return ""
    left, top, width, height = drawing.boxes[label]
    places = [place for place, _ in readings]
    inner = [(a + b) / 2 for a, b in pairwise(places)]
    starts, stops = [left, *inner], [*inner, left + width]
    columns = [
        f'<rect x="{start:.1f}" y="{top:g}" width="{stop - start:.1f}" height="{height:g}" '
        f'data-x="{place:.1f}"><title>{escape(text)}</title></rect>'
        for start, stop, (place, text) in zip(starts, stops, readings, strict=True)
    ]
    ends = f'data-top="{top + 72 * TOP:.1f}" data-bottom="{top + height - 72 * BOTTOM:.1f}"'
    return f'<g class="hits" {ends}>' + "".join(columns) + "</g>"
