"""Which evaluation of a run is the best: the lowest WER among those that hold every guard."""

from collections.abc import Iterator, Mapping
from typing import Any

from accel_asr.console.printing import percent

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
        name: `baseline`, `last`, or that of other weights.
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


def guard_in_words(name: str, guard: Record) -> str:
    """`general: 12.30% (+3.10 points: broken, 1 allowed)`."""
    held = "held" if guard["held"] else "broken"
    return f"{name}: {percent(guard['rate'])} ({100 * guard['change']:+.2f} points: {held}, {_allowed(guard)} allowed)"


def guard_lines(summary: Mapping[str, Record]) -> list[str]:
    """Each guard before training, of the best and of the last model; and what was not chosen because of them."""
    baseline, best, last = (summary.get(name) for name in ("baseline", BEST, "last"))
    lines = []
    for name, before in (baseline or {}).get("guards", {}).items():
        parts = [f"guard {name}: {percent(before['rate'])} before"]
        for title, record in ((BEST, best), ("last", last)):
            if record is not None and name in record.get("guards", {}):
                parts.append(f"{title} {guard_in_words('', record['guards'][name]).removeprefix(': ')}")
        lines.append(", ".join(parts))
    return [*lines, *filter(None, [price_of_guards(summary)])]


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
        f"the lowest WER, {percent(lowest['wer'])} at step {lowest['step']:,}, was not chosen: it worsens {broken}"
    )
    if best is not None:
        return f"{sentence}; holding the guards costs {100 * (best['wer'] - lowest['wer']):.2f} points of WER"
    return (
        f"{sentence}. No evaluation held every guard, so there is no best/: add --checkpoint.interpolate true, replay "
        "of such data (data.sources, replay), a lower learning rate, or a wider margin"
    )


def _allowed(guard: Record) -> str:
    return f"{100 * guard['margin']:g}"
