"""Where the errors are: by part of the data, the words that are most often confused, and words that nobody said."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from accel_asr.console.printing import percent
from accel_asr.evaluation.alignments import Confusion, confusions
from accel_asr.evaluation.breakdowns import PartScore
from accel_asr.evaluation.hallucinations import find_hallucinations
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.reporting.charts import Bar, bar, nice_marks
from accel_asr.reporting.run_records import Told
from accel_asr.reporting.wording import interval, percent_tick

MAX_PARTS = 12
MAX_PART_NAME = 60  # characters
MAX_EXAMPLES = 3
MAX_SINGLE_CONFUSIONS = 10
COLUMN_TITLES = {"duration": "Length of the recording", "language": "Language", "source": "Source"}


@dataclass(frozen=True)
class PartRow:
    """One value of a column: the score of the model, and, where there is a baseline, its score before."""

    value: str
    utterances: int
    rate: str
    interval: str
    bar: Bar | None
    before: PartScore | None
    before_rate: str
    before_bar: Bar | None


@dataclass(frozen=True)
class Breakdown:
    """`left_out` values, with so many utterances, are not among `rows`; `scale` is where the bars end."""

    column: str
    title: str
    rows: list[PartRow]
    left_out: int
    left_out_utterances: int
    scale: str


@dataclass(frozen=True)
class OddKind:
    """A kind of odd transcript: how many now, and before training (None without a baseline); some of them."""

    name: str
    explained: str
    now: int
    before: int | None
    examples: list[ScoredUtterance]


def breakdown_tables(now: Told, before: Told | None) -> list[Breakdown]:
    """By length first, then by the columns as they come; of many values, those with the most words."""
    order = sorted(now.parts, key=lambda column: column != "duration")
    befores = before.parts if before else {}
    return [_breakdown(column, now.parts[column], befores.get(column, [])) for column in order]


def _breakdown(column: str, parts: Sequence[PartScore], before: Sequence[PartScore]) -> Breakdown:
    largest = sorted(parts, key=lambda part: -part.score.reference_words)[:MAX_PARTS]
    shown = [part for part in parts if part in largest]
    befores = {part.value: part for part in before}
    both = [one for part in shown for one in (part, befores.get(part.value)) if one]
    highest = _scale_end([one.score.wer for one in both], [one.interval[1] for one in both])
    rows = []
    for part in shown:
        old = befores.get(part.value)
        rows.append(
            PartRow(
                value=part.value if len(part.value) <= MAX_PART_NAME else f"{part.value[:MAX_PART_NAME]}…",
                utterances=part.score.utterances,
                rate=percent(part.score.wer),
                interval=interval(part.interval),
                bar=bar(part.score.wer, part.interval, highest=highest),
                before=old,
                before_rate=percent(old.score.wer) if old else "",
                before_bar=bar(old.score.wer, old.interval, highest=highest) if old else None,
            )
        )
    left = [part for part in parts if part not in largest]
    return Breakdown(
        column=column,
        title=COLUMN_TITLES.get(column, column),
        rows=rows,
        left_out=len(left),
        left_out_utterances=sum(part.score.utterances for part in left),
        scale=percent_tick(highest) + (" and more" if any(one.score.wer > highest for one in both) else ""),
    )


def _scale_end(rates: Sequence[float], bounds: Sequence[float]) -> float:
    """A round number that the bars and most intervals end below: a very long one would make all bars tiny."""
    highest = max((rate for rate in rates if math.isfinite(rate)), default=0.0)
    longest = max((bound for bound in bounds if math.isfinite(bound)), default=0.0)
    if any(rate < 1 for rate in rates):  # beside a part of endless loops, the others must be told apart
        highest = min(highest, 1.0)
    return nice_marks(0.0, min(max(highest, longest), 1.5 * highest), most=4)[-1] if highest else 0.0


def frequent_confusions(told: Told) -> list[Confusion]:
    """Those seen more than once; of an evaluation without such, some that were seen once."""
    found = confusions(told.scored)
    return [one for one in found if one.count > 1] or found[:MAX_SINGLE_CONFUSIONS]


def odd_kinds(now: Told, before: Told | None) -> list[OddKind]:
    """Hallucinations, transcripts that were cut off, and recordings that could not be read."""
    kinds = {
        "insertion_only": (
            "Words added",
            "everything that was said is there, and words that were not said (insertion-only)",
        ),
        "looping": ("Loops", "a piece of text over and over that nobody said so"),
        "from_nothing": ("Words from nothing", "words for a recording whose reference has none"),
        "silent": ("Words in silence", "words for a recording in which nothing can be heard"),
        "cut_off": ("Cut off", "the transcript was stopped at the length limit (evaluation.generation_max_length)"),
        "unreadable": ("Unreadable", "the recording could not be decoded; every word of it counts as missed"),
    }
    found = _odd(now.scored)
    old = _odd(before.scored) if before else None
    return [
        OddKind(
            name=name,
            explained=explained,
            now=len(found[kind]),
            before=len(old[kind]) if old is not None else None,
            examples=found[kind][:MAX_EXAMPLES],
        )
        for kind, (name, explained) in kinds.items()
    ]


def _odd(scored: Sequence[ScoredUtterance]) -> dict[str, list[ScoredUtterance]]:
    return {
        **vars(find_hallucinations(scored)),
        "cut_off": [one for one in scored if one.transcript.cut_off],
        "unreadable": [one for one in scored if one.transcript.audio_problem is not None],
    }
