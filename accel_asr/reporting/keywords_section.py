"""The keywords in the report: how many were heard, before training and now, and those that were missed most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accel_asr.console.printing import percent
from accel_asr.reporting.run_records import RunRecords
from accel_asr.reporting.wording import interval

MOST_KEYWORDS = 20


@dataclass(frozen=True)
class KeywordsSection:
    """`rows`: what, and a cell (rate, explanation) for each of `columns`. `missed`, with an error now: (keyword, heard,
    said, false alarms).
    """

    columns: list[str]
    rows: list[tuple[str, list[tuple[str, str]]]]
    missed: list[tuple[str, int, int, int]]


def keywords_section(records: RunRecords) -> KeywordsSection | None:
    """The section; None without keywords."""
    if records.chosen is None or "keywords" not in records.chosen.record:
        return None
    models: dict[str, Mapping[str, Any]] = {"Now": records.chosen.record["keywords"]}
    if records.baseline is not None and "keywords" in records.baseline.record:
        models = {"Before training": records.baseline.record["keywords"], **models}
    recall = [
        (
            percent(model["recall"]),
            _explained(f"{model['hits']:,} of {model['occurrences']:,}", model["recall_interval"]),
        )
        for model in models.values()
    ]
    errors = [
        (
            percent(model["error_rate"]),
            _explained(f"{model['false_alarms']:,} false alarms", model["error_rate_interval"]),
        )
        for model in models.values()
    ]
    worst = models["Now"]["by_keyword"]
    missed = [
        (keyword, count["hits"], count["occurrences"], count["false_alarms"])
        for keyword, count in worst.items()
        if count["hits"] < count["occurrences"] or count["false_alarms"]
    ]
    rows = [("Heard where they are said (recall)", recall), ("Keyword error rate", errors)]
    return KeywordsSection(list(models), rows, missed[:MOST_KEYWORDS])


def _explained(counts: str, bounds: Sequence[float | None]) -> str:
    return ", ".join(filter(None, [counts, interval(bounds)]))
