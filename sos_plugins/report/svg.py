"""Matplotlib figures as accessible inline SVG: the same bytes for the same figures."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from lxml import etree
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

INK, MUTED, LINE, SHADE = "#1d2529", "#505a5f", "#b1b4b6", "#e4e8eb"
SERIES = ("#12436d", "#c4500b", "#17786f", "#801650", "#3d3d3d", "#6a4fa3")
"""Colours that stay apart for colour-blind readers, each at least 4.5:1 on white."""

MARKERS = ("o", "s", "D", "^", "v", "P")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))

WIDTH = 7.5
"""Width of a chart in inches; its height is chosen by its content."""

MARK_HEIGHT = 0.25
"""Inches beneath a chart for a line that every copy of it must carry."""

DOTS = 200
"""Dots an inch of a chart as PNG."""

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"

_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "hatch.linewidth": 0.6,
    "path.simplify": False,
}


@contextmanager
def chart_style(ident: str) -> Iterator[None]:
    """Set matplotlib's style for one chart, with its identifier as the salt of its ids."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update({**_STYLE, "svg.hashsalt": ident})
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def as_file(figure: Figure, kind: str, title: str, mark: str = "") -> bytes:
    """Write a figure as a file: the same bytes for the same figure.

    Args:
        figure: The figure.
        kind: ``svg``, ``png`` or ``pdf``.
        title: What it shows.
        mark: A line that is added beneath it.
    """
    buffer = io.BytesIO()
    extent = _marked(figure, mark) if mark else None
    dated = {"svg": "Date", "png": "Software", "pdf": "CreationDate"}
    figure.savefig(
        buffer,
        format=kind,
        dpi=DOTS,
        facecolor="white",
        bbox_inches=extent,
        metadata={"Title": title, dated[kind]: None},
    )
    return buffer.getvalue()


def _marked(figure: Figure, mark: str) -> Bbox:
    """Write a line beneath a figure and return the inches that both take."""
    width, height = figure.get_size_inches()
    figure.text(
        *(0.1 / width, -0.5 * MARK_HEIGHT / height),
        mark,
        color=MUTED,
        fontsize=8,
        fontweight="bold",
        va="center",
    )
    return Bbox.from_extents(0.0, -MARK_HEIGHT, width, height)


def inline(figure: Figure, *, ident: str, title: str, finding: str) -> Markup:
    """Write a figure as SVG for a page, named by ``title`` and described by ``finding``.

    Ids are prefixed by ``ident`` so that several charts share a page; text stays text, in the
    font of the page.
    """
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    root = etree.fromstring(buffer.getvalue())
    for style in root.findall(f".//{_SVG}style"):
        style.getparent().remove(style)  # type: ignore[union-attr]  # found beneath root
    _scope_ids(root, ident)
    for element in root.iter(f"{_SVG}text"):
        element.set("style", _without_fonts(element.get("style", "")))
    for path in root.iter(f"{_SVG}path"):
        path.set("d", re.sub(r"\s+", " ", path.get("d", "")).strip())
    _name(root, ident, title, finding)
    return Markup(_as_html(root))


def _scope_ids(root: etree._Element, ident: str) -> None:
    written = etree.tostring(root, encoding="unicode")
    used = set(re.findall(r"url\(#([^)]+)\)", written)) | set(
        re.findall(r'href="#([^"]+)"', written)
    )
    for element in root.iter(etree.Element):
        old = element.get("id")
        if old is not None and old in used:
            element.set("id", f"{ident}-{old}")
        elif old is not None:
            del element.attrib["id"]
        target = element.attrib.pop(_XLINK, None)
        if target is not None:
            element.set("href", f"#{ident}-{target[1:]}")
        for name in ("clip-path", "style"):
            value = element.get(name, "")
            if "url(#" in value:
                element.set(name, value.replace("url(#", f"url(#{ident}-"))


def _without_fonts(style: str) -> str:
    kept = [part.strip() for part in style.split(";") if not part.strip().startswith("font-family")]
    return "; ".join(part for part in kept if part)


def _name(root: etree._Element, ident: str, title: str, finding: str) -> None:
    for index, (tag, text) in enumerate((("title", title), ("desc", finding))):
        element = etree.Element(f"{_SVG}{tag}", id=f"{ident}-{tag}")
        element.text = text
        root.insert(index, element)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    for child in root:
        if child.tag not in (f"{_SVG}title", f"{_SVG}desc"):
            child.set("aria-hidden", "true")
    root.set("role", "img")
    root.set("aria-labelledby", f"{ident}-title")
    root.set("aria-describedby", f"{ident}-desc")
    root.set("focusable", "false")


def _as_html(root: etree._Element) -> str:
    written = etree.tostring(root, encoding="unicode")
    written = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", written, count=2)
    return re.sub(r">\s+<", "><", written)
