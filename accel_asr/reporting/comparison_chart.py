"""The chart of runs side by side: a rate and its interval for each, and the mean over seeds of one recipe."""

from collections.abc import Mapping
from typing import Any

from accel_asr.reporting.chart_figures import BEFORE, LINE_COLOURS, QUIET, Chart, chart_style, new_axes
from accel_asr.reporting.wording import percent_tick

MOST_LETTERS = 24


def comparison_chart(record: Mapping[str, Any]) -> Chart:
    """A line for each run, the first at the top.

    Args:
        record: As `comparison_of_runs` makes it.
    """
    runs = record["runs"]
    title = "Word error rate by run"
    with chart_style("comparison"):
        figure, axes = new_axes(1.0 + 0.3 * len(runs))
        for row, run in enumerate(runs):
            low, high = run.get("wer_interval") or [run["wer"]] * 2
            if low is not None and high is not None:
                axes.plot([low, high], [row, row], color=LINE_COLOURS[0], linewidth=1.2)
            axes.plot(run["wer"], row, "o", color=LINE_COLOURS[0], markersize=4, label=_once(row, "run, 95% interval"))
        before = [(run["baseline_wer"], row) for row, run in enumerate(runs) if run["baseline_wer"] is not None]
        if before:
            axes.plot(*zip(*before, strict=True), "|", color=QUIET, markersize=9, label="before training")
        for number, recipe in enumerate(record["recipes"]):
            rows = [run - 1 for run in recipe["runs"]]
            ends = [min(rows) - 0.35, max(rows) + 0.35]
            axes.plot(
                [recipe["mean"]] * 2,
                ends,
                color=LINE_COLOURS[1],
                linewidth=1,
                label=_once(number, "mean over seeds, 95% interval"),
            )
            axes.fill_betweenx(ends, *recipe["interval"], color=BEFORE, alpha=0.35, linewidth=0)
        axes.set_yticks(range(len(runs)), [f"{row}  {_short(run['name'])}" for row, run in enumerate(runs, start=1)])
        axes.set_ylim(len(runs) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("Word error rate")
        axes.xaxis.set_major_formatter(lambda rate, _: percent_tick(rate))
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside lower center", ncols=1)
    described = "; ".join(f"{run['name']} {percent_tick(run['wer'])}" for run in runs)
    return Chart("comparison", title, described, figure)


def _once(number: int, label: str) -> str | None:
    return label if number == 0 else None


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 3]}..."
