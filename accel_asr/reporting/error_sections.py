"""Where the errors are: by part of the data, the most frequent confusions, and odd transcripts."""

from collections.abc import Sequence
from dataclasses import dataclass

from accel_asr.console.printing import percent
from accel_asr.evaluation.alignments import Confusion, confusions
from accel_asr.evaluation.breakdowns import PartScore, part_verdicts, worst_part
from accel_asr.evaluation.hallucinations import find_hallucinations
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.reporting.run_records import Evaluation
from accel_asr.reporting.wording import interval

MAX_PARTS = 12
MAX_PART_NAME = 60  # characters
MAX_EXAMPLES = 3
MAX_SINGLE_CONFUSIONS = 10
COLUMN_TITLES = {"duration": "length of the recording"}
ODD_KINDS = {
    "insertion_only": ("Words added", "all that was said is there, and words that were not (insertion-only)"),
    "looping": ("Loops", "a piece of text repeated over and over that nobody repeated"),
    "from_nothing": ("Words from nothing", "words for a recording whose reference is empty"),
    "silent": ("Words in silence", "words for a recording in which nothing can be heard"),
    "cut_off": ("Cut off", "the transcript reached the length limit (evaluation.generation_max_length)"),
    "unreadable": ("Unreadable", "the recording could not be decoded; all its words count as missed"),
}


@dataclass(frozen=True)
class PartRow:
    """The score of one part of the data; `before` is the rate before training, empty without a baseline.

    verdict: against before, corrected for the number of parts; empty where it can't be compared.
    """

    value: str
    utterances: int
    rate: str
    interval: str
    before: str
    verdict: str


@dataclass(frozen=True)
class Breakdown:
    """Scores by the values of one column; `left_out` values, with so many utterances, are not among `rows`.

    worst: the value with the highest rate of those with enough utterances, and that rate; empty if there are not two.
    """

    column: str
    title: str
    rows: list[PartRow]
    left_out: int
    left_out_utterances: int
    worst: str


@dataclass(frozen=True)
class OddKind:
    """A kind of odd transcript: how many now and before training (None without a baseline), and some of them."""

    name: str
    explanation: str
    now: int
    before: int | None
    examples: list[ScoredUtterance]


def column_title(column: str) -> str:
    """How a reader knows the column."""
    return COLUMN_TITLES.get(column, column)


def largest_parts(parts: Sequence[PartScore]) -> list[PartScore]:
    """The MAX_PARTS with the most words, in the order of `parts`."""
    largest = sorted(parts, key=lambda part: -part.score.reference_words)[:MAX_PARTS]
    return [part for part in parts if part in largest]


def breakdown_tables(now: Evaluation, before: Evaluation | None) -> list[Breakdown]:
    """By length first, then by the other columns in their order."""
    order = sorted(now.parts, key=lambda column: column != "duration")
    return [_breakdown(column, now.parts[column], before.parts.get(column, []) if before else []) for column in order]


def _breakdown(column: str, parts: Sequence[PartScore], before: Sequence[PartScore]) -> Breakdown:
    shown = largest_parts(parts)
    rates_before = {part.value: percent(part.score.wer) for part in before}
    verdicts = part_verdicts(shown, before)
    rows = [
        PartRow(
            value=_short(part.value),
            utterances=part.score.utterances,
            rate=percent(part.score.wer),
            interval=interval(part.interval),
            before=rates_before.get(part.value, ""),
            verdict=verdicts.get(part.value, ""),
        )
        for part in shown
    ]
    utterances = sum(part.score.utterances for part in parts)
    shown_utterances = sum(part.score.utterances for part in shown)
    worst = worst_part(parts)
    return Breakdown(
        column,
        column_title(column),
        rows,
        len(parts) - len(shown),
        utterances - shown_utterances,
        f"{_short(worst.value)}, {percent(worst.score.wer)} ({interval(worst.interval)})" if worst else "",
    )


def _short(value: str) -> str:
    return value if len(value) <= MAX_PART_NAME else f"{value[:MAX_PART_NAME]}…"


def frequent_confusions(evaluation: Evaluation) -> list[Confusion]:
    """Those seen more than once; if there are none, some that were seen once."""
    ranked = confusions(evaluation.scored)
    return [confusion for confusion in ranked if confusion.count > 1] or ranked[:MAX_SINGLE_CONFUSIONS]


def odd_kinds(now: Evaluation, before: Evaluation | None) -> list[OddKind]:
    """Hallucinations, transcripts that were cut off, and recordings that could not be decoded."""
    odd_now = _odd(now.scored)
    odd_before = _odd(before.scored) if before else None
    return [
        OddKind(
            *ODD_KINDS[kind],
            now=len(odd_now[kind]),
            before=len(odd_before[kind]) if odd_before is not None else None,
            examples=odd_now[kind][:MAX_EXAMPLES],
        )
        for kind in ODD_KINDS
    ]


def _odd(scored: Sequence[ScoredUtterance]) -> dict[str, list[ScoredUtterance]]:
    return {
        **vars(find_hallucinations(scored)),
        "cut_off": [utterance for utterance in scored if utterance.transcript.cut_off],
        "unreadable": [utterance for utterance in scored if utterance.transcript.audio_problem is not None],
    }
