"""The curves of a run: loss, learning rate, gradient norm and error rates over optimizer steps."""

from collections.abc import Mapping, Sequence
from typing import Any

from accel_asr.reporting.charts import LineChart, Series, line_chart
from accel_asr.reporting.run_records import RunRecords
from accel_asr.reporting.wording import number, percent_tick, small

LOSS, LEARNING_RATE, GRADIENT_NORM = "Loss", "Learning rate", "Gradient norm"
WER, CER = "Word error rate", "Character error rate"

Line = Mapping[str, Any]


def curve_series(records: RunRecords) -> dict[str, list[Series]]:
    """The lines of each chart, by its title; a run that has not come far has some without points."""
    train, evals, short = records.train_lines, records.eval_lines, records.speech_context_lines
    return {
        WER: [
            Series(_points(evals, "wer"), "normalised", _intervals(evals, "wer_interval")),
            Series(_points(evals, "wer_ortho"), "as written"),
            Series(_points(short, "wer"), "normalised, speech context"),
        ],
        CER: [Series(_points(evals, "cer"), "", _intervals(evals, "cer_interval"))],
        LOSS: [Series(_points(train, "loss"), "training"), Series(_points(evals, "loss"), "validation")],
        LEARNING_RATE: [Series(_points(train, "learning_rate"))],
        GRADIENT_NORM: [Series(_points(train, "grad_norm"))],
    }


def draw_curves(records: RunRecords) -> list[LineChart]:
    """The charts that there is something to draw in."""
    charts = []
    for title, series in curve_series(records).items():
        is_rate = title in (WER, CER)
        chart = line_chart(
            title,
            series,
            label=percent_tick if is_rate else small,
            ring_at=float(records.chosen.step) if is_rate and records.chosen else None,
            from_zero=is_rate or title == LEARNING_RATE,
        )
        if chart is not None:
            charts.append(chart)
    return charts


def _points(lines: Sequence[Line], name: str) -> list[tuple[float, float]]:
    return [(float(line["step"]), number(line.get(name))) for line in lines]


def _intervals(lines: Sequence[Line], name: str) -> list[tuple[float, float]]:
    bounds = [line.get(name) or (None, None) for line in lines]
    return [(number(low), number(high)) for low, high in bounds]
