"""Edits counted by hand, and corpus rates against jiwer's own over the joined lists."""

import json
import math
import random
from dataclasses import replace

import jiwer
import pytest

from accel_asr.evaluation.scoring import (
    EditCounts,
    ScoredUtterance,
    Transcript,
    character_edits,
    corpus_score,
    error_rate,
    grouped,
    score_utterance,
    word_edits,
)


def transcript(reference: str, hypothesis: str, *, name: str = "a", cut_off: bool = False) -> Transcript:
    return Transcript(name, 1.5, reference, hypothesis, cut_off)


def score(pairs: list[tuple[str, str]], normalize=str.lower) -> list[ScoredUtterance]:
    return [score_utterance(transcript(*pair), normalize) for pair in pairs]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("my card was declined", "my card was declined", EditCounts(0, 0, 0, 4)),
        ("my card was declined", "my car was declined", EditCounts(1, 0, 0, 4)),
        ("my card was declined", "card declined", EditCounts(0, 2, 0, 4)),
        ("my card", "oh my dear card yes", EditCounts(0, 0, 3, 2)),
        ("pay the bill", "", EditCounts(0, 3, 0, 3)),
        ("pay", "a b c d", EditCounts(1, 0, 3, 1)),  # 400% of one word
        ("pay the bill", "pay a big bill now", EditCounts(1, 0, 2, 3)),
        ("  pay   the bill ", "pay the bill", EditCounts(0, 0, 0, 3)),
    ],
)
def test_word_edits_by_hand(reference: str, hypothesis: str, expected: EditCounts) -> None:
    assert word_edits(reference, hypothesis) == expected


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("card", "car", EditCounts(0, 1, 0, 4)),
        ("my card", "mycard", EditCounts(0, 1, 0, 7)),  # the space counts
        ("Straße", "Strasse", EditCounts(1, 0, 1, 6)),
        ("привет", "привед", EditCounts(1, 0, 0, 6)),
        ("你好吗", "你好", EditCounts(0, 1, 0, 3)),
        ("a👍🏽b", "ab", EditCounts(0, 2, 0, 4)),  # code points, not bytes: thumb and skin tone
        ("pay", "", EditCounts(0, 3, 0, 3)),
    ],
)
def test_character_edits_by_hand(reference: str, hypothesis: str, expected: EditCounts) -> None:
    assert character_edits(reference, hypothesis) == expected


@pytest.mark.parametrize("reference", ["", " ", "\n\t"])
def test_an_empty_reference_has_no_rate(reference: str) -> None:
    assert word_edits(reference, "anything") is None
    assert character_edits(reference, "anything") is None


def test_unicode_words_are_split_at_any_white_space() -> None:
    assert word_edits("die\u00a0Überweisung\u3000bitte", "die Überweisung bitte") == EditCounts(0, 0, 0, 3)


def test_composed_and_decomposed_letters_are_different_until_normalised() -> None:
    assert word_edits("über", "u\u0308ber") == EditCounts(1, 0, 0, 1)


# -- a corpus


def made_up(count: int) -> list[tuple[str, str]]:
    generator = random.Random(0)
    words = ["my", "card", "was", "declined", "pay", "the", "Überweisung", "bitte"]
    pairs = []
    for _ in range(count):
        reference = generator.choices(words, k=generator.randint(1, 12))
        changes = [generator.choice([[word], [word], [word], [], ["x"], [word, "y"]]) for word in reference]
        pairs.append((" ".join(reference), " ".join(word for change in changes for word in change)))
    return pairs


def test_corpus_rates_are_jiwers_over_all_pairs() -> None:
    pairs = made_up(60)
    references, hypotheses = [list(side) for side in zip(*pairs, strict=True)]
    result = corpus_score(score(pairs, normalize=str))
    assert result.wer == result.wer_ortho == pytest.approx(jiwer.wer(references, hypotheses), rel=1e-12)
    assert result.cer == pytest.approx(jiwer.cer(references, hypotheses), rel=1e-12)
    assert (result.utterances, result.empty_references, result.cut_off) == (60, 0, 0)


def test_a_corpus_rate_is_not_the_mean_of_rates() -> None:
    pairs = [("yes", "no"), ("i want to pay the bill for my card today", "i want to pay the bill for my card today")]
    result = corpus_score(score(pairs))
    assert result.wer == 1 / 11  # one error in 1 + 10 words; the mean of 100% and 0% would be 50%


def test_the_rate_does_not_depend_on_the_order() -> None:
    pairs = made_up(20)
    assert corpus_score(score(pairs)) == corpus_score(score(pairs[::-1]))


def test_orthographic_and_normalised_rates_are_counted_apart() -> None:
    result = corpus_score(score([("My card", "my Card"), ("Pay", "pay")]))
    assert (result.wer, result.cer, result.wer_ortho) == (0.0, 0.0, 1.0)


def test_references_empty_after_normalisation_are_left_out_and_counted() -> None:
    def drop_brackets(text: str) -> str:
        return "" if text.startswith("[") else text

    result = corpus_score(score([("[noise]", "hello there"), ("my card", "my car")], normalize=drop_brackets))
    assert result.wer == 1 / 2
    assert result.cer == 1 / 7
    assert result.wer_ortho == (2 + 1) / (1 + 2)  # as written, "[noise]" is a word; and one word was inserted
    assert (result.utterances, result.empty_references) == (2, 1)


def test_without_any_reference_there_is_no_rate() -> None:
    result = corpus_score(score([("", "hello"), (" ", "")]))
    assert math.isnan(result.wer)
    assert math.isnan(result.cer)
    assert result.empty_references == 2
    assert math.isnan(error_rate([]))


def test_transcripts_that_were_cut_off_are_counted() -> None:
    scored = [score_utterance(transcript("a", "a", cut_off=cut_off), str) for cut_off in (True, False, True)]
    assert corpus_score(scored).cut_off == 2


def test_recordings_that_could_not_be_decoded_are_counted_and_their_words_are_missed() -> None:
    gone = Transcript("b", 1.5, "my card", "", False, audio_problem="the file can't be reached")
    result = corpus_score([*score([("my card", "my card")]), score_utterance(gone, str)])
    assert (result.utterances, result.unreadable, result.wer) == (2, 1, 2 / 4)


def test_scores_of_parts_add_up_to_those_of_all() -> None:
    pairs = made_up(30)
    scored = [score_utterance(transcript(*pair, name=f"{row}"), str) for row, pair in enumerate(pairs)]
    parts = grouped(scored, lambda utterance: "abc"[int(utterance.transcript.utterance_id) % 3])
    assert parts == {"a": scored[0::3], "b": scored[1::3], "c": scored[2::3]}
    errors = [part.wer * part.reference_words for part in map(corpus_score, parts.values())]
    assert sum(errors) == pytest.approx(corpus_score(scored).wer * corpus_score(scored).reference_words)


def test_a_line_of_the_evaluation_file_holds_text_and_counts() -> None:
    scored = score_utterance(transcript("My card", "my car", name="clip-1", cut_off=True), str.lower)
    line = json.loads(json.dumps(scored.to_json()))
    assert line == {
        "utterance_id": "clip-1",
        "duration_s": 1.5,
        "reference": "My card",
        "hypothesis": "my car",
        "cut_off": True,
        "language": None,
        "source": None,
        "audio_problem": None,
        "silent": False,
        "columns": {},
        "block": None,
        "block_column": None,
        "task": None,
        "keywords": [],
        "word_confidences": [],
        "references": [],
        "reference_normalized": "my card",
        "hypothesis_normalized": "my car",
        "words": {"substitutions": 1, "deletions": 0, "insertions": 0, "reference_length": 2},
        "words_ortho": {"substitutions": 2, "deletions": 0, "insertions": 0, "reference_length": 2},
        "characters": {"substitutions": 0, "deletions": 1, "insertions": 0, "reference_length": 7},
        "characters_ortho": {"substitutions": 1, "deletions": 1, "insertions": 0, "reference_length": 7},
    }
    assert ScoredUtterance.from_json(line) == scored
    assert score_utterance(transcript("", "x"), str).to_json()["words"] is None
    of_an_earlier_version = {
        name: value for name, value in line.items() if not name.startswith(("block", "task", "references"))
    }
    assert ScoredUtterance.from_json(of_an_earlier_version) == scored
    with pytest.raises(KeyError, match="hypothesis"):
        ScoredUtterance.from_json({name: value for name, value in line.items() if name != "hypothesis"})


# -- nasty texts, against jiwer and against our metric for `evaluate`

NASTY = [
    ("pay the bill", ""),
    ("", "thank you"),
    ("", ""),
    ("สวัสดีครับ", "สวัสดีค่ะ"),
    ("カードを止めてください", "カードをとめて下さい"),
    ("我的卡丢了", "我的咖丢了吗"),
    ("e\u0301te\u0301 à la plage", "été a la plage"),
    ("👍🏽 ok", "👍 ok"),
    ("مرحبا بالعالم", "مرحبا يا عالم"),
    ("a\u200bb c", "ab c"),
    ("tab\tand\nline", "tab and line"),
    ("x" * 3_000, "x" * 2_990),
]


@pytest.mark.parametrize("rate", ["wer", "cer"])
def test_rates_of_nasty_texts_are_jiwers(rate: str) -> None:
    kept = [(" ".join(one.split()), " ".join(other.split())) for one, other in NASTY if one]
    result = corpus_score(score(kept, normalize=str))
    references, hypotheses = (list(side) for side in zip(*kept, strict=True))
    assert getattr(result, rate) == pytest.approx(getattr(jiwer, rate)(references, hypotheses), rel=1e-12)
    counted = jiwer.process_words(references, hypotheses)
    assert (result.substitutions, result.deletions, result.insertions) == (
        counted.substitutions,
        counted.deletions,
        counted.insertions,
    )
    wrong = sum(reference.split() != hypothesis.split() for reference, hypothesis in kept)
    assert result.sentence_error_rate == wrong / len(kept)


def test_thai_and_japanese_are_counted_by_character() -> None:
    thai, japanese = score([NASTY[3], NASTY[4]], normalize=str)
    assert thai.characters == EditCounts(2, 1, 0, 10)
    assert thai.words == EditCounts(1, 0, 0, 1)
    assert japanese.characters is not None
    assert (japanese.characters.errors, japanese.characters.reference_length) == (3, 11)


@pytest.mark.integration  # `evaluate` imports all of transformers
@pytest.mark.parametrize("normalize", [True, False])
def test_our_metric_for_evaluate_gives_the_same_on_nasty_texts(normalize: bool) -> None:
    import evaluate
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    from accel_asr.evaluation import WER_METRIC

    pairs = NASTY + made_up(30)
    metric = evaluate.load(WER_METRIC)
    found = metric.compute(
        references=[one for one, _ in pairs], predictions=[other for _, other in pairs], normalize=normalize
    )
    basic = BasicTextNormalizer()
    expected = corpus_score(score(pairs, normalize=(lambda text: basic(text).strip()) if normalize else str))
    assert found["wer"] == pytest.approx(expected.wer, rel=1e-12)


def test_of_several_references_the_nearest_one_counts_with_its_own_length() -> None:
    row = replace(transcript("the car is red now", "A red car"), references=("...", "a red car", "one red car there"))
    scored = score_utterance(row, lambda text: text.lower().strip("."))
    assert scored.reference_normalized == "a red car"
    assert scored.words == EditCounts(0, 0, 0, 3)
    assert scored.words_ortho == EditCounts(1, 0, 0, 3)  # of the same reference
    assert ScoredUtterance.from_json(json.loads(json.dumps(scored.to_json()))) == scored


def test_of_equally_near_references_fewer_wrong_characters_and_then_the_first_count() -> None:
    row = transcript("cat", "car")
    assert score_utterance(replace(row, references=("bus", "cab")), str).reference_normalized == "cat"
    assert score_utterance(replace(row, reference="bus", references=("cab", "cat")), str).reference_normalized == "cab"


def test_one_empty_reference_of_several_is_left_out_and_all_of_them_leave_no_rate() -> None:
    row = transcript("", "a b")
    assert score_utterance(replace(row, references=("c d e",)), str).words == EditCounts(2, 1, 0, 3)
    assert score_utterance(replace(row, references=("",)), str).words is None
