"""Numbers and results in plain words, for people who do not train models."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from accel_asr.console.printing import percent
from accel_asr.console.public_text import public
from accel_asr.evaluation.intervals import Difference


def number(value: float | None) -> float:
    """JSON has no nan: an undefined rate is null there."""
    return math.nan if value is None else float(value)


def percent_tick(rate: float) -> str:
    """0.05 as `5%`, 0.025 as `2.5%`, 12.5 as `1,250%`."""
    return f"{100 * rate:,.0f}%" if rate >= 1 else f"{100 * rate:.3g}%"


def interval(bounds: Sequence[float | None] | None) -> str:
    """`9.1–12.3%`; empty if it is undefined."""  # noqa: RUF002
    low, high = map(number, bounds or (None, None))
    return f"{100 * low:,.1f}\u2013{100 * high:,.1f}%" if math.isfinite(low + high) else ""


def small(value: float) -> str:
    """A number of any size in few characters, such as 0.137, 2.4 and 5e-05."""
    return f"{value:.3g}"


def seconds(duration_s: float) -> str:
    """`2.7 s`."""
    return f"{duration_s:.1f} s"


def hours(duration_h: float) -> str:
    """0.3286 as `20 minutes`, 12.34 as `12.3 hours`."""
    if duration_h >= 1:
        return f"{duration_h:,.1f} hours"
    return f"{60 * duration_h:.0f} minutes" if duration_h >= 1 / 60 else f"{3600 * duration_h:.0f} seconds"


def in_a_hundred(rate: float) -> str:
    """0.1044 as `about 10`, 0.004 as `fewer than 1`."""
    if rate == 0:
        return "none"
    return f"about {100 * rate:,.0f}" if rate >= 0.01 else "fewer than 1"


def wrong_words(rate: float | None, before: float | None = None) -> str:
    """`12.34% of the words are wrong`; as errors for every 100 words if there are more errors than words.

    Args:
        before: The rate of the untouched model, given in the same unit.
    """
    rates = [number(rate)] + ([] if before is None else [before])
    if any(value > 1 for value in rates):  # more than all of the words can't be wrong
        shown = [f"{100 * value:,.2f}" if math.isfinite(value) else "n/a" for value in rates]
        sentence = f"{shown[0]} word errors for every 100 words"
    else:
        shown = [percent(value) for value in rates]
        sentence = f"{shown[0]} of the words are wrong"
    return sentence if before is None else f"{sentence} now, {shown[1]} before"


def difference_sentence(difference: Difference, *, what: str) -> str:
    """A paired difference with its interval, in percentage points.

    Args:
        what: Whose errors, such as `the best model`.
    """
    judged = difference.verdict
    if judged == "unknown":
        return f"Whether {what} differs from the untouched one is unknown: there are no words to count errors in."
    if judged == "no difference":
        return f"The word error rate of {what} is the same as before, utterance by utterance."
    points = abs(100 * difference.difference)
    direction = "lower" if difference.difference < 0 else "higher"
    change = f"is {points:,.2f} percentage points {direction} than" if difference.difference else "is the same as"
    if judged == "could be chance":
        least, most = (100 * bound for bound in difference.interval)
        return (
            f"The word error rate of {what} {change} before. On other recordings of the same kind, the difference "
            f"could be anything from {least:+,.2f} to {most:+,.2f}: this could be chance."
        )
    low, high = sorted(abs(100 * bound) for bound in difference.interval)
    return (
        f"The word error rate of {what} {change} before (95% interval: {low:.2f} to {high:.2f}), on the same "
        f"recordings: {judged} beyond chance."
    )


def setting_rows(section: Mapping[str, Any], *, prefix: str = "") -> list[tuple[str, str]]:
    """(dotted name, value) of each setting; lists of sections are numbered."""
    rows: list[tuple[str, str]] = []
    for name, value in section.items():
        if isinstance(value, Mapping) and value:
            rows += setting_rows(value, prefix=f"{prefix}{name}.")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for place, item in enumerate(value):
                rows += setting_rows(item, prefix=f"{prefix}{name}[{place}].")
        else:
            rows.append((f"{prefix}{name}", public(_shown(value))))
    return rows


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return str(value) if value not in ({}, "") else "none"
