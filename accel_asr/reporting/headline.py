"""What a reader wants to know first: is the model better, by how much, and how sure is that."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accel_asr.console.printing import counted, percent
from accel_asr.evaluation.comparing import Comparison
from accel_asr.evaluation.run_files import translation_in_words, weights_in_words
from accel_asr.reporting.run_records import BASELINE, BEST, LAST, RunRecords, is_same
from accel_asr.reporting.wording import (
    difference_sentence,
    in_a_hundred,
    interval,
    number,
    wrong_words,
)
from accel_asr.run.best_rule import broken_guards, price_of_guards
from accel_asr.training.early_stopping import early_stop_in_words

RATES = {
    "wer": ("Wrong words", "word error rate (WER), {normalised}"),
    "wer_ortho": ("Wrong words as written", "WER in which punctuation and capitals count"),
    "cer": ("Wrong characters", "character error rate (CER), {normalised}"),
    "sentence_error_rate": ("Utterances with any error", "sentence error rate"),
}
NORMALISED = {
    "basic": "ignoring punctuation and capitals",
    "open_asr": "by the rules of the Open ASR leaderboard",
    "none": "as written",
}
VERDICTS = {  # how the title begins, and its tone
    "better": ("Better beyond chance", "good"),
    "worse": ("Worse beyond chance", "bad"),
    "could be chance": ("The difference could be chance", "open"),
    "no difference": ("No difference", "open"),
    "unknown": ("The difference is unknown", "open"),
}


@dataclass(frozen=True)
class ScoreRow:
    """One rate, of each model; `cells` are (rate, 95% interval) as text."""

    name: str
    explanation: str
    cells: list[tuple[str, str]]


@dataclass(frozen=True)
class Headline:
    """`title` is the report in one line; `tone` is good, bad or open; `columns` are the models of `rows`."""

    title: str
    tone: str
    sentences: list[str]
    columns: list[str]
    rows: list[ScoreRow]


def headline(records: RunRecords, comparison: Comparison | None) -> Headline:
    """About the evaluation that the report is about.

    Args:
        comparison: With the baseline, if there is one.
    """
    if records.chosen is None:
        return Headline("Nothing has been scored yet", "open", ["This run has no evaluation yet."], [], [])
    title, tone = _title(records, comparison)
    normalizer = records.config.get("evaluation", {}).get("normalizer", "basic")
    normalised = NORMALISED.get(normalizer, f"after the normaliser {normalizer}")
    models = _models(records)
    rows = [
        ScoreRow(
            name,
            explanation.format(normalised=normalised),
            [(percent(record.get(rate)), interval(record.get(f"{rate}_interval"))) for record in models.values()],
        )
        for rate, (name, explanation) in RATES.items()
    ]
    return Headline(title, tone, _sentences(records, comparison), list(models), rows)


def _title(records: RunRecords, comparison: Comparison | None) -> tuple[str, str]:
    assert records.chosen is not None
    if comparison is None or records.baseline is None:
        return wrong_words(records.chosen.record["wer"]), "open"
    beginning, tone = VERDICTS[comparison.differences["wer"].verdict]
    change = wrong_words(records.chosen.record["wer"], number(records.baseline.record["wer"]))
    broken = [name for name, _ in broken_guards(records.chosen.record)]
    if broken:
        return f"{beginning}, and worse than allowed on {', '.join(broken)}: {change}", "bad"
    return f"{beginning}: {change}", tone


def _sentences(records: RunRecords, comparison: Comparison | None) -> list[str]:
    assert records.chosen is not None
    record = records.chosen.record
    what = f"the {weights_in_words(record)}" if "weights" in record else f"the model of step {record['step']:,}"
    rate = number(record["wer"])
    if math.isnan(rate):
        sentences = ["There are no words to count errors in: every reference is empty after normalisation."]
    else:
        before = number(records.baseline.record["wer"]) if records.baseline else None
        sentences = [_in_a_hundred_words(rate, before, what=what)]
    if translation := translation_in_words(record):
        sentences.append(f"{translation}.")
    if "weights" in record:
        sentences.append(_origin(record))
    if comparison is not None:
        sentences.append(difference_sentence(comparison.differences["wer"], what=what))
        changed = f"{comparison.changed_transcripts:,} of {counted(record['utterances'], 'transcript')}"
        sentences.append(f"Training changed {changed}.")
    elif records.chosen.step == records.summary.get(BASELINE, {}).get("step"):
        sentences.append("This is the model before training; it has not been scored since.")
    else:
        sentences.append(
            "The model was not scored before training (evaluation.eval_on_start is false), so the gain is unknown."
        )
    if price := price_of_guards(records.summary):
        sentences.append(f"{price[:1].upper()}{price[1:]}.")
    elif record.get("guards") and not any(broken_guards(record)):
        sentences.append("It holds every guard.")
    if "audio_context" in record:
        sentences.append(
            "Scored with merged padding (evaluation.audio_context): at the whole window a word may differ now and then."
        )
    if records.early_stop is not None:
        rule = {name: records.early_stop[name] for name in ("step", "last_step", "evaluations", "threshold")}
        sentences.append(f"Training {early_stop_in_words(**rule)}.")
    evaluations = sum(line["step"] > 0 for line in records.eval_lines) + len(records.averages + records.interpolations)
    if records.is_best and evaluations > 1:
        sentences.append(
            f"It was chosen as the best of {evaluations} evaluations on these very recordings, so expect a few more "
            "errors on others."
        )
    return sentences


def _origin(record: Mapping[str, Any]) -> str:
    """How weights came about that are not those of a step."""
    if "alpha" in record:
        alpha = record["alpha"]
        return (
            f"Its weights are {1 - alpha:g} x those of the untouched model + {alpha:g} x those after step "
            f"{record['step']:,} (alpha {alpha:g}, checkpoint.interpolate)."
        )
    setting = "training.ema_decay" if record["weights"] == "ema" else "checkpoint.average_last"
    return f"Its weights are an average over steps ({setting}), not those after one step."


def _in_a_hundred_words(rate: float, before: float | None, *, what: str) -> str:
    """The WER as a sentence for people who do not know the word."""
    if rate <= 1:
        sentence = f"Of 100 words that were said, {what} gets {in_a_hundred(rate)} wrong"
    else:
        sentence = (
            f"For every 100 words that were said, {what} makes {in_a_hundred(rate)} errors: words that nobody said "
            "count too, so there can be more errors than words"
        )
    if before is None:
        return f"{sentence}."
    more = ", more errors than words, since words that nobody said count too" if before > 1 >= rate else ""
    return f"{sentence}; before training it was {in_a_hundred(before)}{more}."


def _models(records: RunRecords) -> dict[str, Mapping[str, Any]]:
    """The evaluations to show side by side, by the titles of their columns."""
    assert records.chosen is not None
    chosen, best, last = records.chosen.record, records.summary.get(BEST), records.summary.get(LAST)
    title = "Before training" if chosen["step"] == 0 else f"Step {chosen['step']:,}"
    if records.is_best:
        is_last = last is not None and is_same(last, chosen)
        title = f"{'Best and last' if is_last else 'Best'} ({weights_in_words(chosen)})"
    models = {"Before training": records.baseline.record} if records.baseline else {}
    models[title] = chosen
    for name, record in (("Best", best), ("Last", last)):
        if record is not None and not is_same(record, chosen):
            models[f"{name} ({weights_in_words(record)})"] = record
    for record in records.averages:
        if not any(is_same(record, shown) for shown in models.values()):
            title = weights_in_words(record)
            models[title[0].upper() + title[1:]] = record
    return models
