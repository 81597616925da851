"""The first thing a reader wants to know: is the model better, by how much, and how sure is that."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accel_asr.console.printing import percent
from accel_asr.evaluation.comparing import Comparison
from accel_asr.reporting.run_records import BASELINE, BEST, LAST, RunRecords, Told
from accel_asr.reporting.wording import (
    count,
    difference_sentence,
    in_a_hundred,
    interval,
    number,
    verdict,
    wrong_words,
)

RATES = {
    "wer": ("Wrong words", "word error rate (WER), {normalised}"),
    "wer_ortho": ("Wrong words as written", "WER in which punctuation and capitals count"),
    "cer": ("Wrong characters", "character error rate (CER), {normalised}"),
    "sentence_error_rate": ("Utterances with any error", "sentence error rate"),
}
NORMALISED = {"basic": "without regard to punctuation and capitals", "none": "as written"}


@dataclass(frozen=True)
class Cell:
    """A rate and its 95% interval, in words."""

    rate: str
    interval: str


@dataclass(frozen=True)
class ScoreRow:
    """One rate of all models."""

    name: str
    explained: str
    cells: list[Cell]


@dataclass(frozen=True)
class Headline:
    """`title` is the whole report in one line; `tone` is good, bad, or open; `columns` are the models of `rows`."""

    title: str
    tone: str
    sentences: list[str]
    columns: list[str]
    rows: list[ScoreRow]


def headline(records: RunRecords, comparison: Comparison | None) -> Headline:
    """Of the evaluation that the report tells of.

    Args:
        comparison: With the baseline; None where there is none.
    """
    if records.chosen is None:
        return Headline("Nothing has been scored yet", "open", ["This run has no evaluation yet."], [], [])
    record = records.chosen.record
    what = f"the model of step {record['step']:,}"
    models = _models(records)
    title, tone = _title(records, comparison)
    sentences = [_in_a_hundred_words(number(record["wer"]), records.baseline, what=what)]
    if math.isnan(number(record["wer"])):
        sentences = ["There was nothing to count errors in: every reference is empty after normalisation."]
    if comparison is not None:
        sentences.append(difference_sentence(comparison.differences["wer"], what=what))
        changed = f"{comparison.changed_transcripts:,} of {count(record['utterances'], 'transcript')}"
        sentences.append(f"Training changed {changed}.")
    elif records.chosen.step == records.summary.get(BASELINE, {}).get("step"):
        sentences.append("This is the model before training; it has not been scored since.")
    else:
        sentences.append(
            "The model was not scored before training (evaluation.eval_on_start is false), so what training has gained "
            "can't be told."
        )
    if "speech_context" in record:
        at_speech = wrong_words(record["speech_context"]["wer"])
        sentences.append(
            "That is at the whole window, as most programs use a model; hearing the speech alone, as it was trained to "
            f"(training.audio_context): {at_speech}."
        )
    evaluations = sum(line["step"] > 0 for line in records.eval_lines)
    if records.is_best and evaluations > 1:
        sentences.append(
            f"It was chosen as the best of {evaluations} evaluations on these very recordings, so expect a few more "
            "errors on others."
        )
    normalizer = records.config.get("evaluation", {}).get("normalizer", "basic")
    normalised = NORMALISED.get(normalizer, f"after the normaliser {normalizer}")
    rows = [
        ScoreRow(name, explained.format(normalised=normalised), [_cell(rate, of) for of in models.values()])
        for rate, (name, explained) in RATES.items()
    ]
    return Headline(title, tone, sentences, list(models), rows)


def _in_a_hundred_words(rate: float, baseline: Told | None, *, what: str) -> str:
    """The WER as a sentence for people who do not know the word."""
    before = number(baseline.record["wer"]) if baseline else 0.0
    if rate <= 1:
        told = f"Of 100 words that were said, {what} gets {in_a_hundred(rate)} wrong"
    else:
        told = (
            f"For every 100 words that were said, {what} makes {in_a_hundred(rate)} errors: words that nobody said "
            "count too, so there can be more errors than words"
        )
    if baseline is None:
        return f"{told}."
    more = ", more errors than words, since words that nobody said count too" if before > 1 >= rate else ""
    return f"{told}; before training it was {in_a_hundred(before)}{more}."


def _title(records: RunRecords, comparison: Comparison | None) -> tuple[str, str]:
    assert records.chosen is not None
    if comparison is None or records.baseline is None:
        return wrong_words(records.chosen.record["wer"]), "open"
    change = wrong_words(records.chosen.record["wer"], number(records.baseline.record["wer"]))
    titles = {
        "better beyond chance": (f"Better beyond chance: {change}", "good"),
        "worse beyond chance": (f"Worse beyond chance: {change}", "bad"),
        "could be chance": (f"The difference could be chance: {change}", "open"),
        "no difference": (f"No difference: {change}", "open"),
        "no difference can be told": (f"No difference can be told: {change}", "open"),
    }
    return titles[verdict(comparison.differences["wer"])]


def _models(records: RunRecords) -> dict[str, Mapping[str, Any]]:
    assert records.chosen is not None
    models: dict[str, Mapping[str, Any]] = {}
    if records.baseline is not None:
        models["Before training"] = records.baseline.record
    chosen, last = records.chosen.record, records.summary.get(LAST)
    of_step = "Before training" if chosen["step"] == 0 else f"Step {chosen['step']:,}"
    is_last = last is not None and last["step"] == chosen["step"]
    if records.is_best:
        of_step = f"{'Best and last' if is_last else 'Best'} (step {chosen['step']:,})"
    models[of_step] = chosen
    best = records.summary.get(BEST)
    if best is not None and best["step"] != chosen["step"]:
        models[f"Best (step {best['step']:,})"] = best
    if last is not None and last["step"] != chosen["step"]:
        models[f"Last (step {last['step']:,})"] = last
    return models


def _cell(rate: str, record: Mapping[str, Any]) -> Cell:
    return Cell(percent(record.get(rate)), interval(record.get(f"{rate}_interval")))
