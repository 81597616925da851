"""Pictures for papers: plots/*.png of curves and breakdowns at 300 dots an inch."""

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accel_asr.evaluation.breakdowns import PartScore
from accel_asr.files.atomic_writes import file_written_whole
from accel_asr.reporting.charts import Series, thin
from accel_asr.reporting.curves import CER, LEARNING_RATE, LOSS, WER, curve_series
from accel_asr.reporting.error_sections import COLUMN_TITLES, MAX_PARTS
from accel_asr.reporting.run_records import RunRecords

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOTS_DIR = "plots"
DOTS_PER_INCH = 300
WIDTH_INCHES, HEIGHT_INCHES = 3.5, 2.4  # a column of a paper
FONT_SIZE = 8
COLOURS = ("#0a58ca", "#b34700", "#1a7f37")
MAX_LABEL = 24  # characters of a value's name
MAX_DOTTED = 40


def write_plots(records: RunRecords) -> list[Path]:
    """Write the plots that there is something to draw in to the run's folder; returns their paths.

    Raises:
        OSError: they can't be written.
    """
    figures = {_file_name(title): _curves(title, series) for title, series in curve_series(records).items()}
    before = records.baseline.parts if records.baseline else {}
    for column, parts in records.chosen.parts.items() if records.chosen else ():
        name = f"wer_by_{_file_name(column)}"
        while name in figures:
            name += "_"
        told = "best" if records.is_best else f"step {records.chosen.step if records.chosen else 0:,}"
        figures[name] = _bars(COLUMN_TITLES.get(column, column), parts, before.get(column, []), name=told)
    folder = records.run_dir / PLOTS_DIR
    return [_save(figure, folder / f"{name}.png") for name, figure in figures.items() if figure is not None]


def _curves(title: str, series: Sequence[Series]) -> "Figure | None":
    drawn = [thin(one) for one in series if any(math.isfinite(value) for _, value in one.points)]
    if not drawn:
        return None
    figure, axes = _figure(HEIGHT_INCHES)
    scale = 100 if title in (WER, CER) else 1
    for one, colour, style in zip(drawn, COLOURS, ("-", "--", ":"), strict=False):
        steps = [step for step, _ in one.points]
        marker = "o" if len(steps) <= MAX_DOTTED else None
        values = [scale * value for _, value in one.points]
        axes.plot(steps, values, style, color=colour, marker=marker, markersize=2.5, linewidth=1.2, label=one.name)
        if one.band:
            low, high = ([scale * bound[side] for bound in one.band] for side in (0, 1))
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0, label="95% interval")
    axes.set_xlabel("Optimizer step")
    axes.set_ylabel(f"{title} (%)" if scale == 100 else title)
    if title in (WER, CER, LEARNING_RATE):
        axes.set_ylim(bottom=0)
    if any(one.name for one in drawn) and title in (WER, LOSS):
        axes.legend(frameon=False, fontsize=FONT_SIZE - 1)
    return figure


def _bars(title: str, parts: Sequence[PartScore], before: Sequence[PartScore], *, name: str) -> "Figure | None":
    largest = sorted(parts, key=lambda part: -part.score.reference_words)[:MAX_PARTS]
    shown = [part for part in parts if part in largest and math.isfinite(part.score.wer)]
    if not shown:
        return None
    befores: Mapping[str, PartScore] = {part.value: part for part in before}
    figure, axes = _figure(0.8 + 0.32 * len(shown))
    groups = [(name, COLOURS[0], shown)]
    if befores:
        groups.append(("before training", "#b8c0c8", [befores[part.value] for part in shown if part.value in befores]))
    height = 0.8 / len(groups)
    rows = {part.value: row for row, part in enumerate(shown)}
    for number, (label, colour, group) in enumerate(groups):
        places = [rows[part.value] + number * height for part in group]
        rates = [100 * part.score.wer for part in group]
        errors = [[max(0.0, 100 * (part.score.wer - part.interval[0])) for part in group]]
        errors.append([max(0.0, 100 * (part.interval[1] - part.score.wer)) for part in group])
        axes.barh(places, rates, height, xerr=errors, color=colour, label=label, error_kw={"linewidth": 0.8})
    labels = [f"{_short(part.value)} ({part.score.utterances:,})" for part in shown]
    axes.set_yticks([row + height * (len(groups) - 1) / 2 for row in range(len(shown))], labels)
    axes.invert_yaxis()
    axes.set_xlabel("Word error rate (%)")
    axes.set_ylabel(_short(title))
    if befores:
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=FONT_SIZE - 1)
    for text in [axes.yaxis.label, *axes.get_yticklabels()]:
        text.set_parse_math(False)  # a dollar sign in the data is no formula
    return figure


def _figure(height_inches: float) -> "tuple[Figure, Axes]":
    """A figure of its own, of no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT_SIZE - 1)
    axes.xaxis.label.set_fontsize(FONT_SIZE)
    axes.yaxis.label.set_fontsize(FONT_SIZE)
    axes.grid(axis="both", color="#e4e8ec", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _save(figure: "Figure", path: Path) -> Path:
    """Complete or not at all."""
    with file_written_whole(path) as beside, warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing", UserWarning
        )  # of a writing that matplotlib has no font for
        figure.savefig(beside, format="png", dpi=DOTS_PER_INCH)
    return path


def _file_name(title: str) -> str:
    return re.sub(r"[^\w-]+", "_", title.lower())[:60]


def _short(text: str) -> str:
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"
