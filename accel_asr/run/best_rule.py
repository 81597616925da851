"""Which evaluation of a run is the best: the lowest WER among those that hold every guard."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from accel_asr.console.printing import percent
from accel_asr.evaluation.many_comparisons import LEVEL, holm
from accel_asr.evaluation.run_files import weights_in_words

BEST, UNGUARDED = "best", "unguarded"  # in summary.json

Record = Mapping[str, Any]


def holds_guards(record: Record) -> bool:
    """Whether every guard is within its margin. An evaluation without guards in a run that has none holds them."""
    return all(guard["held"] for guard in record.get("guards", {}).values())


def broken_guards(record: Record) -> Iterator[tuple[str, Record]]:
    """(name, what was measured) of each guard that is above its margin."""
    for name, guard in record.get("guards", {}).items():
        if not guard["held"]:
            yield name, guard


def remember(scores: dict[str, dict[str, Any]], name: str, record: dict[str, Any], *, guarded: bool) -> bool:
    """Enter an evaluation in `scores`, the records of summary.json; returns whether it is the best so far.

    `scores["unguarded"]` is the lowest WER whatever the guards, where it is another evaluation than the best one.

    Args:
        name: `baseline` or `last`.
        guarded: The run has guards: an evaluation in which they were not scored can't be the best.
    """
    scores[name] = record
    if name == "baseline":
        return False
    best, lowest = scores.get(BEST), scores.get(UNGUARDED) or scores.get(BEST)
    can_be_best = holds_guards(record) if "guards" in record else not guarded
    is_best = can_be_best and (best is None or record["wer"] < best["wer"])
    if is_best:
        scores[BEST] = record
    if guarded and (lowest is None or record["wer"] < lowest["wer"]):
        scores.pop(UNGUARDED, None)
        if not is_best:
            scores[UNGUARDED] = record
    return is_best


def remember_candidate(scores: dict[str, dict[str, Any]], name: str, record: dict[str, Any]) -> None:
    """Enter other weights than those of a step, scored at the end. `choose_candidate` may make them the best."""
    scores[name] = record
    lowest = scores.get(UNGUARDED) or scores.get(BEST)
    if not holds_guards(record) and (lowest is None or record["wer"] < lowest["wer"]):
        scores[UNGUARDED] = record


def candidates(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records of averages and interpolated weights, in the order in which they were scored."""
    return [record for name, record in scores.items() if name == record.get("weights")]


def choose_candidate(scores: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Make that candidate the best which has the lowest WER of those that may be; None if the best stays.

    Once, when all have been scored, so that their order does not matter. It depends on nothing but the records.
    """
    able = [record for record in candidates(scores) if _is_able(record)]
    p_values = holm([_number((record["versus_best"] or {}).get("p_value")) for record in able])
    able = [
        record
        for record, p_value in zip(able, p_values, strict=True)
        if may_become_best(record, p_value=p_value, last=scores["last"])
    ]
    chosen = min(able, key=lambda record: float(record["wer"]), default=None)
    best, lowest = scores.get(BEST), scores.get(UNGUARDED)
    if chosen is None or (
        best is not None and chosen["weights"] == best.get("weights") and _step(chosen) == _step(best)
    ):
        return None
    scores[BEST] = chosen
    if lowest is not None and chosen["wer"] <= lowest["wer"]:
        scores.pop(UNGUARDED)
    return chosen


def may_become_best(candidate: Record, *, p_value: float, last: Record) -> bool:
    """Whether a candidate that holds every guard may replace the best of training.

    Its WER is lower: beyond chance, or by any amount where the last model, which it was made from, breaks a guard.
    Where no evaluation of training held the guards, any may.

    Args:
        p_value: Of its difference to the best of training, corrected: of many candidates one is lower by chance.
    """
    against = candidate["versus_best"]
    if against is None:
        return True
    return _number(against["difference"]) < 0 and (p_value < LEVEL or not holds_guards(last))


def _is_able(candidate: Record) -> bool:
    """Whether it holds every guard, and has a WER that an earlier version did not compare otherwise."""
    return holds_guards(candidate) and "versus_best" in candidate and not math.isnan(_number(candidate["wer"]))


def _number(value: float | None) -> float:
    """JSON has null for a rate that is not defined."""
    return math.nan if value is None else value


def _step(record: Record) -> int:
    return int(record["step"])


def guard_in_words(name: str, guard: Record) -> str:
    """`general: 12.30% (+3.10 points: broken, 1 allowed)`."""
    held = "held" if guard["held"] else "broken"
    return f"{name}: {percent(guard['rate'])} ({100 * guard['change']:+.2f} points: {held}, {_allowed(guard)} allowed)"


def table_of_guards(summary: Mapping[str, Record]) -> list[list[str]]:
    """Rows of cells, the first being the titles: the WER and each guard before training, of the best and of the last
    model, with 95% intervals. Empty for a run without guards.
    """
    models = {"before": summary.get("baseline"), BEST: summary.get(BEST), "last": summary.get("last")}
    records = {title: record for title, record in models.items() if record is not None}
    guards = (models["before"] or {}).get("guards", {})
    if not guards:
        return []
    rows = [["", *records], ["WER", *(_rate(record, "wer") for record in records.values())]]
    for name in guards:
        cells = [record.get("guards", {}).get(name) for record in records.values()]
        rows.append([f"guard {name}", *(_cell(cell, is_before=not place) for place, cell in enumerate(cells))])
    return rows


def _cell(guard: Record | None, *, is_before: bool) -> str:
    if guard is None:
        return "not scored"
    change = f"{100 * guard['change']:+.2f} of {_allowed(guard)}: {'held' if guard['held'] else 'broken'}"
    return _rate(guard, "rate") + ("" if is_before else f"\n{change}")


def _rate(record: Record, name: str) -> str:
    """`12.34% (10.00 to 15.00)`, as far as it is defined."""
    low, high = record.get(f"{name}_interval") or (None, None)
    if low is None or high is None or not math.isfinite(low + high):
        return percent(record[name])
    return f"{percent(record[name])} ({100 * low:.2f} to {100 * high:.2f})"


def price_of_guards(summary: Mapping[str, Record]) -> str | None:
    """What the lowest WER of all would have given up, and what giving it up costs; None where it is the best."""
    lowest, best = summary.get(UNGUARDED), summary.get(BEST)
    if lowest is None:
        return None
    broken = ", ".join(
        f"{name} by {100 * guard['change']:+.2f} points ({_allowed(guard)} allowed)"
        for name, guard in broken_guards(lowest)
    )
    sentence = (
        f"the lowest WER, {percent(lowest['wer'])} ({weights_in_words(lowest)}), was not chosen: it worsens {broken}"
    )
    if best is not None:
        return f"{sentence}; holding the guards costs {100 * (best['wer'] - lowest['wer']):.2f} points of WER"
    return (
        f"{sentence}. No evaluation held every guard, so there is no best/: add --checkpoint.interpolate true, replay "
        "of such data (data.sources, replay), a lower learning rate, or a wider margin"
    )


def _allowed(guard: Record) -> str:
    return f"{100 * guard['margin']:g}"
