"""Where nobody speaks: in how many made-up clips words were written, before training and in the best model."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accel_asr.console.printing import percent
from accel_asr.evaluation.no_speech import NoSpeechChange, no_speech_change
from accel_asr.reporting.run_records import BASELINE, BEST, LAST, RunRecords
from accel_asr.reporting.wording import interval

MOST_TEXTS = 6


@dataclass(frozen=True)
class NoSpeechSection:
    """`columns` are models; `rows` (what, a cell for each): all clips, then each kind. `texts`: what was written most.

    A cell is (count, explanation). `change` is None without a baseline.
    """

    columns: list[str]
    rows: list[tuple[str, list[tuple[str, str]]]]
    change: NoSpeechChange | None
    texts: list[tuple[str, int]]


def no_speech_section(records: RunRecords) -> NoSpeechSection | None:
    """The section; None where nothing was examined."""
    summary = records.summary
    before = summary.get(BASELINE, {}).get("no_speech")
    name = BEST if BEST in summary else LAST
    after = summary.get(name, {}).get("no_speech")
    models: dict[str, Mapping[str, Any]] = {"Before training": before} if before else {}
    if after:
        models[name.capitalize()] = after
    if not models:
        return None
    kinds = next(iter(models.values()))["by_kind"]
    rows = [("all", [_share(model) for model in models.values()])]
    rows += [(kind, [_count(model["by_kind"][kind]) for model in models.values()]) for kind in kinds]
    change = no_speech_change(before, after) if before and after else None
    written = [*models.values()][-1]["written"]
    return NoSpeechSection(list(models), rows, change, Counter(written.values()).most_common(MOST_TEXTS))


def _share(model: Mapping[str, Any]) -> tuple[str, str]:
    bounds = interval(model["share_interval"])
    return f"{model['with_words']} of {model['clips']}", f"{percent(model['share'])}, {bounds}"


def _count(part: Mapping[str, Any]) -> tuple[str, str]:
    return f"{part['with_words']} of {part['clips']}", ""
