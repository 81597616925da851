"""Long recordings in the report: before training and of the model that the run left, with the words that went wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accel_asr.console.printing import counted, percent
from accel_asr.evaluation.run_files import weights_in_words
from accel_asr.reporting.run_records import BASELINE, BEST, LAST, RunRecords, is_same
from accel_asr.reporting.wording import interval, seconds

_ROWS = {
    "Word error rate": "of the whole text of each recording",
    "Missing stretches": "ten words or more in a row that were not written",
    "Loops": "a piece of text four times or more in a row, which was not said so",
    "Segment times": "how far its starts and ends are from the true ones: the median, and 95% within",
}


@dataclass(frozen=True)
class LongFormRow:
    """A measure; `cells` are (value, what stands below it) of each model."""

    name: str
    explanation: str
    cells: list[tuple[str, str]]


@dataclass(frozen=True)
class FaultyStretch:
    """A piece of a recording that was missed or repeated, and the words around it."""

    recording: str
    place: str
    is_missing: bool
    before: str
    text: str
    after: str


@dataclass(frozen=True)
class LongFormSection:
    """`columns` are models. `stretches`: the longest of each, by model. `skipped`: why nothing was transcribed."""

    columns: list[str]
    rows: list[LongFormRow]
    size: str
    stretches: dict[str, list[FaultyStretch]]
    skipped: str = ""


def long_form_section(records: RunRecords) -> LongFormSection | None:
    """The section; None for a run without long recordings."""
    models: dict[str, Mapping[str, Any]] = {}
    shown: list[Mapping[str, Any]] = []
    for title, name in (("Before training", BASELINE), ("Best", BEST), ("Last", LAST)):
        record = records.summary.get(name, {})
        if "long_form" not in record or any(is_same(record, other) for other in shown):
            continue
        shown.append(record)
        models[title if name == BASELINE else f"{title} ({weights_in_words(record)})"] = record["long_form"]
    if not models:
        return None
    if skipped := next((scores["skipped"] for scores in models.values() if "skipped" in scores), ""):
        return LongFormSection([], [], "", {}, skipped)
    first = next(iter(models.values()))
    size = f"{counted(first['recordings'], 'recording')} of {first['audio_seconds'] / 60:.1f} minutes together"
    if first["unreadable"]:
        size += f", {counted(first['unreadable'], 'of them', 'of them')} not readable: all their words are missing"
    cells = [_cells(scores) for scores in models.values()]
    rows = [LongFormRow(name, text, [of_model[name] for of_model in cells]) for name, text in _ROWS.items()]
    if not any(scores["boundaries"] for scores in models.values()):
        rows.pop()
    return LongFormSection(list(models), rows, size, {title: _stretches(scores) for title, scores in models.items()})


def _cells(scores: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    error_s = scores["boundary_error_s"]
    counted_boundaries = counted(scores["boundaries"], "boundary", "boundaries")
    values = (
        (percent(scores["wer"]), interval(scores["wer_interval"])),
        _count(scores, "missing", "missing"),
        _count(scores, "loops", "loop"),
        ("not known", "")
        if error_s is None
        else (f"{error_s:.2f} s", f"95%: {scores['boundary_error_95_s']:.2f} s; {counted_boundaries}"),
    )
    return dict(zip(_ROWS, values, strict=True))


def _count(scores: Mapping[str, Any], count: str, name: str) -> tuple[str, str]:
    if not scores[count]:
        return "0", ""
    return f"{scores[count]:,}", f"{counted(scores[f'{name}_words'], 'word')}, {seconds(scores[f'{name}_s'])}"


def _stretches(scores: Mapping[str, Any]) -> list[FaultyStretch]:
    return [
        FaultyStretch(
            stretch["recording"],
            f"{_clock(stretch['start_s'])}\u2013{_clock(stretch['end_s'])}",
            kind == "missing",
            *(stretch[part] for part in ("before", "text", "after")),
        )
        for kind, stretches in scores["examples"].items()
        for stretch in stretches
    ]


def _clock(time_s: float) -> str:
    """75.4 as `1:15`."""
    return f"{int(time_s) // 60}:{int(time_s) % 60:02}"
