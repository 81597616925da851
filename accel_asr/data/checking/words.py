"""Counts and lengths as `accel-asr check-data` words them."""

from typing import Any

SHOWN = 3  # examples of each finding

Report = dict[str, Any]


def rows_told(found: Report) -> str:
    """`1 row`, `1,234 rows`."""
    return "1 row" if found["rows"] == 1 else f"{found['rows']:,} rows"


def size_told(size: Report | None) -> str:
    """`1,234 utterances, 5.6 hours`; minutes where it is less than an hour."""
    if size is None:
        return "not known, for what is told below"
    count = "1 utterance" if size["utterances"] == 1 else f"{size['utterances']:,} utterances"
    hours = size["hours"]
    return f"{count}, " + (f"{hours * 60:.1f} minutes" if hours < 1 else f"{hours:,.1f} hours")


def number_of_hours(hours: float) -> str:
    """Digits enough for a handful of clips."""
    return f"{hours:.3f}" if hours < 1 else f"{hours:,.1f}"


def shortened(text: str, most: int, *, keep_end: bool = True) -> str:
    """At most so many characters: the end of a path, or the beginning of a sentence."""
    if len(text) <= most:
        return text
    return "…" + text[1 - most :] if keep_end else text[: most - 1] + "…"
