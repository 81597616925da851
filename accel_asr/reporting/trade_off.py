"""The yardstick against each guard: checkpoints, averages, and the way from the base model to the last one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_asr.console.printing import percent
from accel_asr.evaluation.run_files import weights_in_words
from accel_asr.reporting.chart_figures import INK, LINE_COLOURS, QUIET, Chart, new_axes
from accel_asr.reporting.run_records import BASELINE, BEST, LAST, RunRecords, is_same
from accel_asr.reporting.wording import interval, number, percent_tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT_INCHES = 3.0
MOST_NAMED_STEPS = 4  # of the checkpoints, in a chart
_PATH, _STEP, _AVERAGE = "path", "step", "average"


@dataclass(frozen=True)
class Model:
    """Weights that were scored. `label` is what a chart has room for; `name` is empty where it is only a checkpoint."""

    kind: str
    label: str
    name: str
    record: Mapping[str, Any]
    is_best: bool

    @property
    def wer(self) -> float:
        return number(self.record["wer"])

    def rate(self, guard: str) -> float:
        """A guard's."""
        return number(self.record["guards"][guard]["rate"])


@dataclass(frozen=True)
class TradeOffCell:
    """A rate. `change`: of a guard since before training, in words; `tone`: good or bad."""

    rate: str
    interval: str
    change: str = ""
    tone: str = ""
    is_on_front: bool = False


@dataclass(frozen=True)
class TradeOffRow:
    """One line of the table: the yardstick, then each guard."""

    name: str
    cells: list[TradeOffCell]


@dataclass(frozen=True)
class TradeOff:
    """`rows`: from the base model to the last, then the averages, then the best of all steps."""

    guards: list[str]
    rows: list[TradeOffRow]


def pareto_front(points: Sequence[tuple[float, ...]]) -> list[bool]:
    """Which points no other beats: none is at most as high in every value and lower in one."""
    return [
        not any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points)
        for point in points
    ]


def models_of(records: RunRecords) -> list[Model]:
    """The path by alpha, the averages and the other checkpoints: all with guards, where the run has them."""
    summary, best = records.summary, records.summary.get(BEST)
    baseline, last = summary.get(BASELINE), summary.get(LAST)
    named = [(_PATH, "0", "Before training (alpha 0)", baseline)] if baseline else []
    named += [
        (_PATH, f"{record['alpha']:g}", f"Alpha {record['alpha']:g}", record) for record in records.interpolations
    ]
    if last is not None:
        alpha = " (alpha 1)" if records.interpolations else ""
        named.append((_PATH, "1" if alpha else "last", f"Last, {weights_in_words(last)}{alpha}", last))
    for record in records.averages:
        name = weights_in_words(record)
        named.append((_AVERAGE, record["weights"], name[:1].upper() + name[1:], record))
    for record in records.eval_lines:
        if record["step"] > 0 and (last is None or record["step"] != last["step"]):
            is_best = best is not None and is_same(record, best)
            named.append((_STEP, f"{record['step']:,}", f"Step {record['step']:,}" if is_best else "", record))
    guarded = "guards" in (baseline or {})
    return [
        Model(kind, label, name, record, best is not None and is_same(record, best))
        for kind, label, name, record in named
        if not guarded or "guards" in record
    ]


def trade_off(records: RunRecords) -> TradeOff | None:
    """The table; None where nothing but checkpoints was scored."""
    if not records.interpolations and not records.averages:
        return None
    models = models_of(records)
    guards = list(models[0].record.get("guards", {}))
    fronts = {guard: _front(models, guard) for guard in guards}
    rows = []
    for model in models:
        if model.name:
            record = model.record
            cells = [TradeOffCell(percent(record["wer"]), interval(record.get("wer_interval")))]
            cells += [_guard_cell(record["guards"][guard], model in fronts[guard]) for guard in guards]
            rows.append(TradeOffRow(f"{model.name}{': best' if model.is_best else ''}", cells))
    return TradeOff(guards, rows)


def trade_off_charts(records: RunRecords) -> list[Chart]:
    """A chart for each guard: the yardstick to the right, the guard upwards, the allowed change as a line."""
    models = models_of(records)
    if len(models) < 3 or "guards" not in models[0].record:
        return []
    return [_chart(models, guard, number_of) for number_of, guard in enumerate(models[0].record["guards"], start=1)]


def _chart(models: Sequence[Model], guard: str, number_of: int) -> Chart:
    figure, axes = new_axes(HEIGHT_INCHES)
    blue, orange, green = LINE_COLOURS
    front = sorted(_front(models, guard), key=lambda model: model.wer)
    axes.plot(
        [model.wer for model in front],
        [model.rate(guard) for model in front],
        color=green,
        alpha=0.35,
        linewidth=5,
        solid_capstyle="round",
        marker="o",
        markersize=5,
        label="Pareto front",
    )
    is_path = any("alpha" in model.record for model in models)
    titles = {
        _PATH: "base to last, by alpha" if is_path else "base and last",
        _STEP: "checkpoints",
        _AVERAGE: "averages",
    }
    for kind, marker, colour in ((_STEP, "o", QUIET), (_PATH, "o", blue), (_AVERAGE, "s", orange)):
        chosen = [model for model in models if model.kind == kind]
        if chosen:
            places = [model.wer for model in chosen], [model.rate(guard) for model in chosen]
            line = "-" if kind == _PATH and is_path else ""
            axes.plot(*places, marker, linestyle=line, color=colour, linewidth=1, markersize=3.5, label=titles[kind])
        named = chosen if kind != _STEP else [model for model in chosen[-MOST_NAMED_STEPS:] if not model.is_best]
        _write_labels(axes, named, guard, colour)
    for model in models:
        if model.is_best:
            place = (model.wer, model.rate(guard))
            axes.plot(*place, "o", color=INK, markersize=10, markerfacecolor="none", linestyle="", label="best")
    base = models[0].record["guards"][guard]
    axes.axhline(number(base["rate"]) + base["margin"], color=INK, linestyle="--", linewidth=0.8, label="allowed")
    axes.margins(0.12)
    axes.xaxis.set_major_formatter(lambda rate, _: percent_tick(rate))
    axes.yaxis.set_major_formatter(lambda rate, _: percent_tick(rate))
    axes.set_xlabel("WER on the yardstick")
    axes.set_ylabel(f"guard {guard}"[:40])
    figure.legend(loc="outside lower center", ncols=2)
    best = next((model for model in models if model.is_best), None)
    words = f"from {_in_words(models[0], guard)} before training to {_in_words(_last(models), guard)} at the last step"
    if best is not None:
        words += f"; best {_in_words(best, guard)}"
    return Chart(f"trade_off_{number_of}", f"Yardstick against guard {guard}", words, figure)


def _write_labels(axes: "Axes", models: Sequence[Model], guard: str, colour: str) -> None:
    """Beside the points, in turn above and below, and across the way that they go: neighbours are often close."""
    points = [(model.wer, model.rate(guard)) for model in models]
    for place, (model, point) in enumerate(zip(models, points, strict=True)):
        before, after = points[max(place - 1, 0)], points[min(place + 1, len(points) - 1)]
        rises = (after[0] - before[0]) * (after[1] - before[1]) > 0  # to the right
        is_above = place % 2 == 0
        is_left = is_above == rises
        axes.annotate(
            model.label,
            point,
            xytext=(-3 if is_left else 3, 3 if is_above else -3),
            textcoords="offset points",
            ha="right" if is_left else "left",
            va="bottom" if is_above else "top",
            fontsize=7,
            color=colour,
        )


def _front(models: Sequence[Model], guard: str) -> list[Model]:
    on_it = pareto_front([(model.wer, model.rate(guard)) for model in models])
    return [model for model, is_on in zip(models, on_it, strict=True) if is_on]


def _last(models: Sequence[Model]) -> Model:
    return [model for model in models if model.kind == _PATH][-1]


def _in_words(model: Model, guard: str) -> str:
    return f"{percent(model.wer)} and {percent(model.rate(guard))}"


def _guard_cell(guard: Mapping[str, Any], is_on_front: bool) -> TradeOffCell:
    change, tone = "", ""
    if guard["change"]:
        held = guard["held"]
        change, tone = f"{100 * guard['change']:+.2f}: {'held' if held else 'broken'}", "good" if held else "bad"
    return TradeOffCell(percent(guard["rate"]), interval(guard["rate_interval"]), change, tone, is_on_front)
