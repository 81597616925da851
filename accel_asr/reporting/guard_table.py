"""What training did to the guards: each before training, of the best, the last and the model that was not chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accel_asr.console.printing import percent
from accel_asr.evaluation.run_files import weights_in_words
from accel_asr.reporting.run_records import BASELINE, BEST, LAST, RunRecords, is_same
from accel_asr.reporting.wording import interval
from accel_asr.run.best_rule import UNGUARDED, price_of_guards

KINDS = {
    "utterances": ("wrong words", "utterance"),
    "long_form": ("wrong words, window after window", "recording"),
    "silence": ("clips without speech that got words", "clip"),
}


@dataclass(frozen=True)
class GuardCell:
    """A guard's rate of one model. `change`: since before training, in words; empty before. `tone`: good or bad."""

    rate: str
    interval: str
    change: str = ""
    tone: str = ""


@dataclass(frozen=True)
class GuardRow:
    """One guard; `cells` are None where it was not scored."""

    name: str
    measure: str
    size: tuple[int, str]
    margin: str
    cells: list[GuardCell | None]


@dataclass(frozen=True)
class GuardTable:
    """`columns` are models. `price`: what holding the guards costs, empty if the best of all holds them."""

    columns: list[str]
    rows: list[GuardRow]
    price: str


def guard_table(records: RunRecords) -> GuardTable | None:
    """The table; None for a run without guards."""
    summary = records.summary
    guards = summary.get(BASELINE, {}).get("guards")
    if not guards:
        return None
    models: dict[str, Mapping[str, Any]] = {"Before training": summary[BASELINE]}
    for title, name in (("Best", BEST), ("Last", LAST), ("Lowest WER, not chosen", UNGUARDED)):
        record = summary.get(name)
        if record is not None and not any(is_same(record, shown) for shown in models.values()):
            models[f"{title} ({weights_in_words(record)})"] = record
    rows = []
    for name, before in guards.items():
        measure, unit = KINDS[before["kind"]]
        cells = [_cell(record.get("guards", {}).get(name)) for record in models.values()]
        size = (before["utterances"], unit)
        rows.append(GuardRow(name, measure, size, f"{100 * before['margin']:g}", cells))
    price = price_of_guards(summary) or ""
    return GuardTable(list(models), rows, price[:1].upper() + price[1:])


def _cell(guard: Mapping[str, Any] | None) -> GuardCell | None:
    if guard is None:
        return None
    rate, bounds = percent(guard["rate"]), interval(guard["rate_interval"])
    low, high = guard["change_interval"]
    if guard["change"] == low == high == 0:
        return GuardCell(rate, bounds)
    between = f", {100 * low:+.2f} to {100 * high:+.2f}" if low is not None and high is not None else ""
    change = f"{100 * guard['change']:+.2f} points{between}: {'held' if guard['held'] else 'broken'}"
    return GuardCell(rate, bounds, change, "good" if guard["held"] else "bad")
