"""Where the marks of a chart stand: numbers to places in an SVG, which the template draws."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from accel_asr.evaluation.intervals import Interval

WIDTH, HEIGHT = 360, 230  # in the SVG's own units; shown at about that many pixels, so that its letters stay readable
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 38  # room for the axes
MAX_POINTS = 300
BAND_SHARE = 0.5  # of the largest value: how far above it an interval is shown
MAX_DOTTED = 40  # a line of more points has no dots
BAR_WIDTH = 200

Point = tuple[float, float]  # (step, value)


@dataclass(frozen=True)
class Series:
    """One line of a chart; `band` has an interval for each point, `name` is empty where there is but one line."""

    points: Sequence[Point]
    name: str = ""
    band: Sequence[Interval] = ()


@dataclass(frozen=True)
class Tick:
    """A mark on an axis, at so many units from the left or the top."""

    at: float
    label: str


@dataclass(frozen=True)
class DrawnLine:
    """`path` and `band` are as the attributes of SVG want them; `dots` are places; `number` chooses the colour."""

    number: int
    name: str
    path: str
    band: str
    dots: list[Point]


@dataclass(frozen=True)
class LineChart:
    """A chart as the template draws it; `told` says it in words, for those who can't see it.

    `averaged` is how many values each point of a long line is the mean of, 1 where all are drawn. `ring` is around the
    point that the page tells of.
    """

    title: str
    told: str
    lines: list[DrawnLine]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    averaged: int = 1
    ring: Point | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = field(default=WIDTH - RIGHT)
    top: int = TOP
    bottom: int = field(default=HEIGHT - BOTTOM)


@dataclass(frozen=True)
class Bar:
    """A bar from 0 on with its interval, in units of a drawing of BAR_WIDTH."""

    length: float
    low: float
    high: float


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    label: Callable[[float], str],
    ring_at: float | None = None,
    from_zero: bool = False,
) -> LineChart | None:
    """Lay out a chart over optimizer steps; None where no series has a point. Values that are not finite are left out.

    Args:
        label: How a value is written.
        ring_at: The step of the point of the first series to be ringed.
        from_zero: The axis begins at 0.
    """
    kept = [_finite(one) for one in series]
    kept = [one for one in kept if one.points]
    if not kept:
        return None
    thinned = [thin(one) for one in kept]
    averaged = max(math.ceil(len(one.points) / MAX_POINTS) for one in kept)
    steps = [step for one in kept for step, _ in one.points]
    values = [value for one in thinned for _, value in one.points]
    # an interval of few utterances, or of a model that talks without end, would press the line flat
    most = max(values) + BAND_SHARE * abs(max(values))
    bounds = [bound for one in thinned for interval in one.band for bound in interval if math.isfinite(bound)]
    values += [min(bound, most) for bound in bounds]
    x_marks = nice_marks(min(steps), max(steps), most=5, whole=True)
    y_marks = nice_marks(0.0 if from_zero else min(values), max(values), most=5)
    x_low, x_high = min(steps), max(*steps, min(steps) + 1)
    y_low, y_high = y_marks[0], y_marks[-1]

    def place(point: Point) -> Point:
        across = (point[0] - x_low) / (x_high - x_low)
        up = min(1.0, (point[1] - y_low) / (y_high - y_low))
        return round(LEFT + across * (WIDTH - LEFT - RIGHT), 1), round(
            HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1
        )

    ringed = next((point for point in kept[0].points if point[0] == ring_at), None)
    return LineChart(
        title=title,
        told=_in_words(title, kept, label),
        lines=[_drawn(number, one, place) for number, one in enumerate(thinned)],
        x_ticks=[Tick(place((mark, y_low))[0], f"{mark:,.0f}") for mark in x_marks if x_low <= mark <= x_high],
        y_ticks=[Tick(place((x_low, mark))[1], label(mark)) for mark in y_marks],
        averaged=averaged,
        ring=place(ringed) if ringed else None,
    )


def thin(series: Series) -> Series:
    """At most MAX_POINTS points: means of as many neighbours each. Nothing is left out, but smoothed."""
    size = math.ceil(len(series.points) / MAX_POINTS)
    if size <= 1:
        return series

    def mean(items: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return sum(one for one, _ in items) / len(items), sum(other for _, other in items) / len(items)

    def means(items: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [mean(items[first : first + size]) for first in range(0, len(items), size)]

    return Series(means(series.points), series.name, means(series.band))


def nice_marks(low: float, high: float, *, most: int, whole: bool = False) -> list[float]:
    """Round numbers from `low` or below to `high` or above."""
    from matplotlib.ticker import MaxNLocator

    if high <= low:
        low, high = (low, low + 1) if whole or not low else sorted((0.0, 2 * low))
    locator = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10], integer=whole, min_n_ticks=2)
    return [float(mark) for mark in locator.tick_values(low, high)]


def bar(rate: float, interval: Interval, *, highest: float) -> Bar | None:
    """The bar of a rate on a scale that ends at `highest`; None where the rate is not defined."""
    if not math.isfinite(rate) or highest <= 0:
        return None
    low, high = (bound if math.isfinite(bound) else rate for bound in interval)
    return Bar(*(round(BAR_WIDTH * min(value / highest, 1.0), 1) for value in (rate, low, high)))


def _finite(series: Series) -> Series:
    kept = [number for number, (_, value) in enumerate(series.points) if math.isfinite(value)]
    return Series(
        [series.points[number] for number in kept],
        series.name,
        [series.band[number] for number in kept] if series.band else (),
    )


def _drawn(number: int, series: Series, place: Callable[[Point], Point]) -> DrawnLine:
    places = [place(point) for point in series.points]
    steps = [step for step, _ in series.points]
    edges = [(step, low, high) for step, (low, high) in zip(steps, series.band, strict=False) if math.isfinite(low)]
    around = [place((step, high)) for step, _, high in edges] + [place((step, low)) for step, low, _ in reversed(edges)]
    return DrawnLine(
        number=number,
        name=series.name,
        path=_pairs(places),
        band=_pairs(around) if len(edges) > 1 else "",
        dots=places if len(places) <= MAX_DOTTED else [],
    )


def _pairs(places: Sequence[Point]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in places)


def _in_words(title: str, series: Sequence[Series], label: Callable[[float], str]) -> str:
    told = []
    for one in series:
        (first_step, first), (last_step, last) = one.points[0], one.points[-1]
        lowest_step, lowest = min(one.points, key=lambda point: point[1])
        told.append(
            f"{one.name or title}: {label(first)} at step {first_step:,.0f}, lowest {label(lowest)} at step "
            f"{lowest_step:,.0f}, {label(last)} at step {last_step:,.0f}"
        )
    return "; ".join(told)
