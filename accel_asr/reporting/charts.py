"""The charts of a run: curves over optimizer steps, and error rates by part of the data."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accel_asr.evaluation.breakdowns import PartScore
from accel_asr.files.atomic_writes import file_written_whole
from accel_asr.reporting.chart_figures import BEFORE, INK, LINE_COLOURS, Chart, chart_style, new_axes
from accel_asr.reporting.error_sections import column_title, largest_parts
from accel_asr.reporting.run_records import RunRecords
from accel_asr.reporting.trade_off import trade_off_charts
from accel_asr.reporting.wording import number, percent_tick, small

PLOTS_DIR = "plots"
HEIGHT_INCHES = 2.4
MAX_POINTS = 300  # a longer line shows means of neighbours
MAX_DOTTED = 40  # a longer line has no dots
SPARE_SHARE = 0.5  # how far above the largest value an axis may go on, to show its interval
MAX_LABEL = 24  # characters of a part's name

LOSS, LEARNING_RATE, GRADIENT_NORM = "Loss", "Learning rate", "Gradient norm"
WER, CER = "Word error rate", "Character error rate"


@dataclass(frozen=True)
class Charts:
    """`curves` over optimizer steps; `parts`: error rates by part of the data, by column; `trade_offs`: by guard."""

    curves: list[Chart]
    parts: dict[str, Chart]
    trade_offs: list[Chart]


@dataclass(frozen=True)
class Series:
    """One line. `rows`, shape (points, 4): step, value, and the bounds of its interval, nan where it has none."""

    name: str
    rows: np.ndarray


def draw_charts(records: RunRecords) -> Charts:
    """All charts for which the run has numbers."""
    # an average of the weights is on no curve
    ringed = records.chosen.step if records.chosen and "weights" not in records.chosen.record else None
    with chart_style():
        curves = [
            chart
            for title, series in curve_series(records).items()
            if (chart := line_chart(title, series, ring_at=ringed))
        ]
        parts: dict[str, Chart] = {}
        if records.chosen is not None:
            model = "best" if records.is_best else f"step {records.chosen.step:,}"
            before = records.baseline.parts if records.baseline else {}
            for column, now in records.chosen.parts.items():
                name = f"wer_by_{_file_name(column)}"
                while name in [chart.name for chart in parts.values()]:
                    name += "_"
                chart = bar_chart(name, column_title(column), now, before.get(column, []), model=model)
                if chart is not None:
                    parts[column] = chart
        trade_offs = trade_off_charts(records)
    return Charts(curves, parts, trade_offs)


def write_plots(charts: Charts, folder: Path) -> list[Path]:
    """Write each chart as a PNG, complete or not at all; returns the paths.

    Raises:
        OSError: they can't be written.
    """
    paths = []
    for chart in [*charts.curves, *charts.parts.values(), *charts.trade_offs]:
        path = folder / f"{chart.name}.png"
        with file_written_whole(path) as beside:
            beside.write_bytes(chart.png())
        paths.append(path)
    return paths


def curve_series(records: RunRecords) -> dict[str, list[Series]]:
    """The lines of each chart, by its title. Early in a run, some have no points."""
    train, evals = records.train_lines, records.eval_lines
    return {
        WER: [_series("normalised", evals, "wer", "wer_interval"), _series("as written", evals, "wer_ortho")],
        CER: [_series("", evals, "cer", "cer_interval")],
        LOSS: [_series("training", train, "loss"), _series("validation", evals, "loss")],
        LEARNING_RATE: [_series("", train, "learning_rate")],
        GRADIENT_NORM: [_series("", train, "grad_norm")],
    }


def line_chart(title: str, series: Sequence[Series], *, ring_at: int | None = None) -> Chart | None:
    """A chart over optimizer steps; None if no series has a point.

    Args:
        ring_at: In a chart of error rates, the step whose point in the first series is ringed.
    """
    from matplotlib.ticker import MaxNLocator

    series = [line for line in series if len(line.rows)]
    if not series:
        return None
    is_rate = title in (WER, CER)
    figure, axes = new_axes(HEIGHT_INCHES)
    drawn = [thinned(line.rows) for line in series]
    for line, rows, colour, style in zip(series, drawn, LINE_COLOURS, ("-", "--", ":"), strict=False):
        steps, values, low, high = rows.T
        marker = "o" if len(steps) <= MAX_DOTTED else None
        axes.plot(steps, values, style, color=colour, marker=marker, markersize=2.5, linewidth=1.2, label=line.name)
        if not np.isnan(low).all():
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0, label="95% interval")
    ringed = series[0].rows[series[0].rows[:, 0] == ring_at]
    if is_rate and len(ringed):
        place = ringed[0, :2]
        axes.plot(*place, "o", color=INK, markersize=8, markerfacecolor="none", linestyle="", label=f"step {ring_at:,}")
    if is_rate or title == LEARNING_RATE:
        shown = np.concatenate(drawn)
        axes.set_ylim(0, _axis_end(shown[:, 1], shown[:, 3]))
    axes.set_xlabel("Optimizer step")
    axes.set_ylabel(title)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter((lambda rate, _: percent_tick(rate)) if is_rate else "{x:.3g}")
    if len(axes.get_legend_handles_labels()[0]) > 1:
        figure.legend(loc="outside lower center", ncols=2)
    size = math.ceil(max(len(line.rows) for line in series) / MAX_POINTS)
    smoothed = f". Each point is the mean of {size} values" if size > 1 else ""
    return Chart(_file_name(title), title, _in_words(series, is_rate=is_rate) + smoothed, figure)


def bar_chart(
    name: str, title: str, now: Sequence[PartScore], before: Sequence[PartScore], *, model: str
) -> Chart | None:
    """Word error rates of the largest parts, beside those before training; None if no part has a rate."""
    parts = [part for part in largest_parts(now) if math.isfinite(part.score.wer)]
    if not parts:
        return None
    row_of = {part.value: row for row, part in enumerate(parts)}
    groups = [(model, LINE_COLOURS[0], parts)]
    if before:
        groups.append(("before training", BEFORE, [part for part in before if part.value in row_of]))
    figure, axes = new_axes(0.8 + 0.32 * len(parts))
    height = 0.8 / len(groups)
    all_rates, all_bounds = [], []
    for place, (label, colour, group) in enumerate(groups):
        rates = np.array([part.score.wer for part in group])
        low, high = np.array([part.interval for part in group]).reshape(-1, 2).T
        errors = np.nan_to_num(np.maximum(0, [rates - low, high - rates]))
        rows = [row_of[part.value] + place * height for part in group]
        lines = {"linewidth": 0.8, "ecolor": INK}
        axes.barh(rows, rates, height, xerr=errors, color=colour, label=label, error_kw=lines)
        all_rates += [rate for rate in rates if math.isfinite(rate)]
        all_bounds += list(high)
    shown = np.array(all_rates)
    if shown.min() < 1:  # beside a part of endless loops, the others must be told apart
        shown = shown.clip(max=1)
    axes.set_xlim(0, _axis_end(shown, np.array(all_bounds)))
    axes.xaxis.set_major_formatter(lambda rate, _: percent_tick(rate))
    axes.set_xlabel(f"{WER} by {_short(title)}")
    labels = [f"{_short(part.value)} ({part.score.utterances:,})" for part in parts]
    axes.set_yticks([row + height * (len(groups) - 1) / 2 for row in row_of.values()], labels)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    if before:
        figure.legend(loc="outside lower center", ncols=2)
    return Chart(name, f"{WER} by {title}", "the numbers are in the table", figure)


def thinned(rows: np.ndarray) -> np.ndarray:
    """At most MAX_POINTS rows: means of neighbours, so that nothing is left out."""
    size = math.ceil(len(rows) / MAX_POINTS)
    return rows if size <= 1 else np.stack([rows[i : i + size].mean(axis=0) for i in range(0, len(rows), size)])


def _series(name: str, lines: Sequence[Mapping[str, Any]], value: str, interval: str = "") -> Series:
    """Of lines of metrics.jsonl; values that are not finite are left out."""
    rows = [[line["step"], number(line.get(value)), *map(number, line.get(interval) or (None, None))] for line in lines]
    table = np.array(rows, dtype=float).reshape(-1, 4)
    return Series(name, table[np.isfinite(table[:, 1])])


def _axis_end(values: np.ndarray, bounds: np.ndarray) -> float | None:
    """Room for the intervals, unless they are so wide (few utterances, endless loops) that they press the rest flat."""
    highest = values.max()
    return float(1.05 * min(np.nanmax(bounds, initial=highest), (1 + SPARE_SHARE) * highest)) or None


def _in_words(series: Sequence[Series], *, is_rate: bool) -> str:
    label = percent_tick if is_rate else small
    sentences = []
    for line in series:
        ends = len(line.rows) - 1
        words = {0: "", ends: "then ", int(line.rows[:, 1].argmin()): "lowest "} if ends else {0: ""}
        points = [f"{words[row]}{label(line.rows[row, 1])} at step {line.rows[row, 0]:,.0f}" for row in sorted(words)]
        sentences.append((f"{line.name}: " if line.name else "") + ", ".join(points))
    return "; ".join(sentences)


def _file_name(title: str) -> str:
    return re.sub(r"[^\w-]+", "_", title.lower())[:60]


def _short(text: str) -> str:
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"
