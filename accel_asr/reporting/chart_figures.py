"""A figure in our style, as SVG for a page and as PNG for papers."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 300
WIDTH_INCHES = 3.5  # a column of a paper
INK, QUIET, EDGE, BEFORE = "#1b1f24", "#59636e", "#d1d9e0", "#b8c0c8"
LINE_COLOURS = ("#0a58ca", "#b34700", "#116329")
# In the page, a colour of the figure is a variable of the style sheet, so that charts follow dark mode.
PAGE_COLOURS = {INK: "ink", QUIET: "quiet", EDGE: "edge", BEFORE: "edge"}
PAGE_COLOURS |= dict(zip(LINE_COLOURS, ("blue", "orange", "green"), strict=True))
STYLE: dict[Any, Any] = {
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with matplotlib; the page puts its own in its place
    "font.size": 8,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in the data starts no formula
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": EDGE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: in the page's font, found by a search, in any script
}
_IDS = re.compile(r' id="[A-Za-z0-9.]+_\d+"')  # of groups, the same in every figure; those of markers and clips stay
_STYLE_ELEMENT = re.compile(r"<style.*?</style>", re.S)  # would hold for the whole page


@dataclass(frozen=True)
class Chart:
    """One figure. `name` is its file's, without the ending; `description` says in words what it shows."""

    name: str
    title: str
    description: str
    figure: "Figure"

    def svg(self) -> str:
        """An `<svg>` to stand in a page: no ids shared with other charts, nothing fetched, texts escaped."""
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        text = self._saved("svg", transparent=True, metadata=no_metadata).decode("utf-8")
        text = _STYLE_ELEMENT.sub("", text[text.index("<svg") :])
        return re.sub(r"<[^>]+>", _for_page, text)

    def png(self) -> bytes:
        """At 300 dots an inch."""
        return self._saved("png", dpi=DOTS_PER_INCH)

    def svg_file(self) -> bytes:
        """An SVG file of its own, in the colours of the PNG."""
        return self._saved("svg", metadata={"Date": None})

    def _saved(self, kind: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        with chart_style(self.name), warnings.catch_warnings():
            # a script that matplotlib's font lacks
            warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
            if self.figure.get_layout_engine() is not None:  # lay it out once for both kinds: that takes longest
                self.figure.draw_without_rendering()
                self.figure.set_layout_engine("none")
            self.figure.savefig(buffer, format=kind, **options)
        return buffer.getvalue()


@contextmanager
def chart_style(name: str = "") -> Iterator[None]:
    """matplotlib's settings for our figures, which are put back afterwards; `name` makes the ids of an SVG its own."""
    from matplotlib import rc_context

    with rc_context(STYLE | {"svg.hashsalt": name}):
        yield


def new_axes(height_inches: float) -> "tuple[Figure, Axes]":
    """Of a figure outside pyplot, which would keep it for ever."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, height_inches))
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _for_page(tag: re.Match[str]) -> str:
    text = _IDS.sub("", tag[0])
    return re.sub("|".join(PAGE_COLOURS), lambda colour: f"var(--{PAGE_COLOURS[colour[0]]})", text)
