"""Computes the drawings; the templates write them as SVG.

Waterfalls use percentages across and pixels down, so that they stretch with the page
while the text keeps its size.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, cos, log10, radians

from atlas.timing import Answer

ROW = 22
TICKS = 5


@dataclass(frozen=True)
class Bar:
    """One question in a waterfall."""

    title: str
    milliseconds: float
    x: float
    width: float
    y: int

    @property
    def label_x(self) -> float:
        """Where the label goes, in percent: beside the bar, on the roomier side."""
        return self.x if self.is_late else self.x + self.width

    @property
    def is_late(self) -> bool:
        """Whether there is more room before the bar than after it."""
        return self.x > 100 - self.x - self.width

    @property
    def is_long(self) -> bool:
        """Whether the bar leaves little room beside it, but has enough within."""
        return self.width > 40 and max(self.x, 100 - self.x - self.width) < 45


@dataclass(frozen=True)
class Waterfall:
    """The bars of one run."""

    bars: list[Bar]
    height: int


@dataclass(frozen=True)
class Tick:
    """A mark on the axis of time."""

    milliseconds: int
    x: float


def axis(longest: float) -> tuple[int, list[Tick]]:
    """Return where the axis ends, in milliseconds, and its marks at round numbers."""
    raw = longest / TICKS
    power = 10 ** int(log10(raw)) if raw >= 1 else 1
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= raw)
    count = ceil(longest / step)
    end = max(step * count, 1)
    ticks = [Tick(step * n, 100 * step * n / end) for n in range(count)]
    return end, ticks


def waterfall(answers: list[Answer], end: float) -> Waterfall:
    """Lay out one run on an axis of *end* milliseconds."""
    bars = [
        Bar(
            title=answer.question.title,
            milliseconds=answer.milliseconds,
            x=100 * answer.start / end,
            width=max(100 * answer.milliseconds / end, 0.3),
            y=ROW * row,
        )
        for row, answer in enumerate(answers)
    ]
    return Waterfall(bars, ROW * len(bars))


@dataclass(frozen=True)
class Map:
    """Cities as dots: one SVG path, and the box to look at."""

    path: str
    width: int
    height: int


def world_map(places: Iterable[tuple[float, float]]) -> Map:
    """Place pairs of latitude and longitude on a plate carrée of the world."""
    dots = (f"M{5 * (lng + 180):.0f} {5 * (75 - lat):.0f}h0" for lat, lng in places)
    return Map("".join(dots), width=1800, height=660)


def country_map(places: list[tuple[float, float]]) -> Map | None:
    """Place pairs of latitude and longitude on a map just large enough for them."""
    if len(places) < 2:
        return None
    middle = sorted(lng for _, lng in places)[len(places) // 2]
    spots = [(lat, (lng - middle + 180) % 360 - 180) for lat, lng in places]
    north, south = max(lat for lat, _ in spots), min(lat for lat, _ in spots)
    east, west = max(lng for _, lng in spots), min(lng for _, lng in spots)
    shrink = cos(radians((north + south) / 2))
    scale = 560 / max((east - west) * shrink, north - south, 0.1)
    dots = (
        f"M{20 + (lng - west) * shrink * scale:.0f} {20 + (north - lat) * scale:.0f}h0"
        for lat, lng in spots
    )
    width = 40 + (east - west) * shrink * scale
    return Map("".join(dots), round(width), round(40 + (north - south) * scale))
