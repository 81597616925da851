"""BLEU and chrF against the values of sacrebleu's own documentation."""

import math
from collections.abc import Sequence

import pytest

from accel_asr.evaluation import translations
from accel_asr.evaluation.evaluating import Evaluation
from accel_asr.evaluation.run_files import translation_in_words
from accel_asr.evaluation.scoring import TRANSLATE, ScoredUtterance, Transcript, corpus_score, score_utterance
from accel_asr.evaluation.translations import translation_record

# the example of sacrebleu's README
ROWS = [
    ("The dog bit the man.", "The dog had bit the man.", "The dog bit the man."),
    ("It was not unexpected.", "No one was surprised.", "It wasn't surprising."),
    ("The man bit him first.", "The man had bitten the dog.", "The man had just bitten him."),
]


def row(reference: str, *references: str, hypothesis: str, task: str | None = TRANSLATE) -> ScoredUtterance:
    return score_utterance(
        Transcript("a", 1.0, reference, hypothesis, False, task=task, references=references), str.lower
    )


def of_readme() -> list[ScoredUtterance]:
    return [row(reference, other, hypothesis=hypothesis) for reference, other, hypothesis in ROWS]


def evaluation(scored: Sequence[ScoredUtterance]) -> Evaluation:
    return Evaluation(corpus_score(scored), loss=1.0, seconds=1.0, scored=list(scored))


def test_the_example_of_sacrebleu_scores_as_documented_and_transcribed_rows_do_not_count() -> None:
    scored = [*of_readme(), row("not translated", hypothesis="at all", task=None)]
    record = evaluation(scored).record()["translation"]
    assert round(record["bleu"], 2) == 48.53
    assert round(record["chrf"], 2) == 59.73
    assert record["utterances"] == 3
    assert record["bleu_signature"].startswith("nrefs:2|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|")
    low, high = record["bleu_interval"]
    assert 0 <= low < high <= 100


def test_rows_may_have_fewer_references_than_others_and_those_without_any_are_left_out() -> None:
    scored = [*of_readme(), row("Fine.", hypothesis="Fine."), row("", hypothesis="Thank you")]
    record = translation_record(scored)
    assert record is not None
    assert record["utterances"] == 4
    assert record["bleu_signature"].startswith("nrefs:var|")


def test_one_row_has_no_interval() -> None:
    record = translation_record([row("The dog bit the man.", hypothesis="The dog bit the man.")])
    assert record is not None
    assert [record["bleu"], record["chrf"]] == pytest.approx([100, 100])
    assert all(map(math.isnan, record["bleu_interval"]))


def test_without_translations_or_sacrebleu_there_is_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "translation" not in evaluation([row("a", hypothesis="a", task=None)]).record()
    monkeypatch.setattr(translations, "find_spec", lambda name: None)
    assert translation_record(of_readme()) is None


def test_the_report_and_the_card_say_both_with_their_signatures() -> None:
    words = translation_in_words(evaluation(of_readme()).record())
    assert words is not None
    assert all(part in words for part in ("BLEU 48.5 (nrefs:2|", "chrF 59.7 (nrefs:2|", "3 translated utterances"))
    assert translation_in_words({"wer": 0.1}) is None
