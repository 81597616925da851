"""Breakdowns by part of the data, confusions, and odd transcripts."""

from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.reporting.error_sections import MAX_PARTS, breakdown_tables, frequent_confusions, odd_kinds
from accel_asr.reporting.run_records import Evaluation
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import record_of


def evaluation(scored: list[ScoredUtterance]) -> Evaluation:
    return Evaluation(record_of(10, scored), scored)


def test_length_comes_first_and_the_model_stands_beside_the_one_before() -> None:
    def two(first: str, second: str) -> Evaluation:
        return evaluation(
            score_pairs([("pay now", first)], duration_s=1.5, columns={"speaker": "ann"})
            + score_pairs([("pay now", second)], duration_s=5.0, columns={"speaker": "bob"})
        )

    tables = breakdown_tables(two("pay now", "pay"), two("pay", "x y"))
    assert [table.title for table in tables] == ["length of the recording", "speaker"]
    assert [(row.value, row.rate, row.before) for row in tables[1].rows] == [
        ("ann", "0.00%", "50.00%"),
        ("bob", "50.00%", "100.00%"),
    ]


def test_of_many_values_those_with_the_most_words_are_shown_and_the_others_counted() -> None:
    scored = [
        score_pairs([("a " * (number + 1), "a")], columns={"speaker": f"{number:03}"})[0]
        for number in range(MAX_PARTS + 3)
    ]
    (table,) = breakdown_tables(evaluation(scored), None)
    assert [row.value for row in table.rows] == [f"{number:03}" for number in range(3, MAX_PARTS + 3)]
    assert (table.left_out, table.left_out_utterances) == (3, 3)


def test_confusions_seen_once_are_noise_unless_there_are_no_others() -> None:
    once = evaluation(score_pairs([("a", "b"), ("c", "d")]))
    twice = evaluation(score_pairs([("a", "b"), ("a", "b"), ("c", "d")]))
    assert [(word.reference, word.count) for word in frequent_confusions(once)] == [("a", 1), ("c", 1)]
    assert [(word.reference, word.count) for word in frequent_confusions(twice)] == [("a", 2)]


def test_odd_transcripts_are_counted_now_and_before() -> None:
    odd = evaluation(
        score_pairs([("pay", "pay now")])
        + score_pairs([("pay", "la la la la la la la")])
        + score_pairs([("", "thanks")], silent=True)
        + score_pairs([("pay", "pay")], cut_off=True)
        + score_pairs([("pay", "")], audio_problem="it is torn")
    )
    kinds = odd_kinds(odd, None)
    assert [(kind.name, kind.now, kind.before) for kind in kinds] == [
        ("Words added", 1, None),
        ("Loops", 1, None),
        ("Words from nothing", 1, None),
        ("Words in silence", 1, None),
        ("Cut off", 1, None),
        ("Unreadable", 1, None),
    ]
    assert odd_kinds(evaluation(score_pairs([("a", "a")])), odd)[0].before == 1
