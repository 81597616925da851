"""Which words became which, by hand; and that alignments count the edits that the scores count."""

import random

import pytest

from accel_asr.evaluation.alignments import AlignedWords, Confusion, align_words, confusions
from accel_asr.evaluation.scoring import word_edits
from tests.unit.evaluation.made_up_scores import score_pairs


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("my card", "my card", [AlignedWords("equal", ("my", "card"), ("my", "card"))]),
        (
            "pay the bill now",
            "pay a bill",
            [
                AlignedWords("equal", ("pay",), ("pay",)),
                AlignedWords("substitute", ("the",), ("a",)),
                AlignedWords("equal", ("bill",), ("bill",)),
                AlignedWords("delete", ("now",), ()),
            ],
        ),
        ("card", "my card", [AlignedWords("insert", (), ("my",)), AlignedWords("equal", ("card",), ("card",))]),
        ("my card", "", [AlignedWords("delete", ("my", "card"), ())]),
        ("", "thank you", [AlignedWords("insert", (), ("thank", "you"))]),
        ("", "  ", []),
    ],
)
def test_runs_of_words_by_hand(reference: str, hypothesis: str, expected: list[AlignedWords]) -> None:
    assert align_words(reference, hypothesis) == expected


def test_alignments_count_what_the_scores_count_and_lose_no_word() -> None:
    generator = random.Random(1)
    for _ in range(200):
        reference, hypothesis = (" ".join(generator.choices("abcdeé你", k=generator.randint(1, 9))) for _ in range(2))
        runs = align_words(reference, hypothesis)
        assert [word for run in runs for word in run.reference] == reference.split()
        assert [word for run in runs for word in run.hypothesis] == hypothesis.split()
        errors = sum(max(len(run.reference), len(run.hypothesis)) for run in runs if run.edit != "equal")
        counted = word_edits(reference, hypothesis)
        assert counted is not None
        assert errors == counted.errors


def test_the_most_frequent_confusions_come_first() -> None:
    pairs = [("my card", "my car"), ("a card now", "a car"), ("pay", "pay up"), ("", "nobody said this")]
    assert confusions(score_pairs(pairs)) == [
        Confusion("card", "car", 2),
        Confusion("", "up", 1),
        Confusion("now", "", 1),
    ]
    assert len(confusions(score_pairs(pairs), most=1)) == 1


def test_confusions_are_of_normalised_words() -> None:
    assert confusions(score_pairs([("My CARD", "my card")])) == []
