"""A chart of bars as SVG: a grid of small panels, each with a bar for every mode.

Written by hand, since rectangles and text need no library. The panels of a row share a
scale; a mode that a panel does not have has no bar there.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

LABELS, WIDTH, GAP = 110, 200, 16
TITLE, BAR, STEP, AFTER = 20, 11, 15, 12
#: Beside the longest bar stands its value.
NUMBER = 52
OURS, OTHERS = "#0c6b58", "#a9b4c2"


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart in the grid: what it shows, and the value of each mode."""

    title: str
    values: dict[str, float]


def chart(title: str, rows: list[list[Panel]], modes: list[str], ours: str) -> str:
    """Draw ``rows`` of panels; the bars of the mode ``ours`` stand out."""
    columns = max(len(row) for row in rows)
    row_height = TITLE + STEP * len(modes) + AFTER
    width = LABELS + columns * (WIDTH + GAP)
    height = TITLE + len(rows) * row_height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="6" fill="#fff"/>',
        _text(GAP / 2, 14, title, bold=True),
    ]
    for number, row in enumerate(rows):
        top = TITLE + number * row_height
        most = max((value for p in row for value in p.values.values()), default=0) or 1
        for index, mode in enumerate(modes):
            parts.append(_text(GAP / 2, _base(top, index), mode, bold=mode == ours))
        for column, panel in enumerate(row):
            left = LABELS + column * (WIDTH + GAP)
            parts.append(_text(left, top + 14, panel.title, bold=True))
            for index, mode in enumerate(modes):
                if (value := panel.values.get(mode)) is not None:
                    place = left, _base(top, index)
                    parts.append(_bar(place, value, value / most, mode == ours))
    return "\n".join([*parts, "</svg>", ""])


def _base(top: int, index: int) -> int:
    return top + TITLE + STEP * index + BAR - 1


def _bar(place: tuple[int, int], value: float, share: float, ours: bool) -> str:
    left, base = place
    length = max(1.0, share * (WIDTH - NUMBER))
    rectangle = (
        f'<rect x="{left}" y="{base - BAR + 2}" width="{length:.1f}" height="{BAR}" '
        f'fill="{OURS if ours else OTHERS}"/>'
    )
    return rectangle + _text(left + length + 4, base, f"{value:,.0f}", bold=ours)


def _text(x: float, y: float, words: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="#222"{weight}>{escape(words)}</text>'
