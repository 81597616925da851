"""Where the errors are."""

from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.reporting.error_sections import MAX_PARTS, breakdown_tables, frequent_confusions, odd_kinds
from accel_asr.reporting.run_records import Told
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import record_of


def told(scored: list[ScoredUtterance], step: int = 10) -> Told:
    return Told(record_of(step, scored), scored)


def speakers(count: int, heard: str) -> list[ScoredUtterance]:
    """One utterance each; the speakers with the higher numbers say more."""
    parts = [
        score_pairs([("a " * (number + 1), heard)], columns={"speaker": f"{number:03}"})[0] for number in range(count)
    ]
    return parts


def test_length_comes_first_and_the_model_stands_beside_the_one_before() -> None:
    def two(first: str, second: str) -> Told:
        return told(
            score_pairs([("pay now", first)], duration_s=1.5, columns={"speaker": "ann"})
            + score_pairs([("pay now", second)], duration_s=5.0, columns={"speaker": "bob"})
        )

    tables = breakdown_tables(two("pay now", "pay"), two("pay", "x y"))
    assert [table.title for table in tables] == ["Length of the recording", "speaker"]
    assert [(row.value, row.rate, row.before_rate) for row in tables[1].rows] == [
        ("ann", "0.00%", "50.00%"),
        ("bob", "50.00%", "100.00%"),
    ]
    assert tables[1].scale == "100%"
    assert tables[1].rows[1].bar is not None
    assert tables[1].rows[1].bar.length == 100  # of 200


def test_a_part_of_endless_loops_does_not_make_the_other_bars_tiny() -> None:
    loops = score_pairs([("a", "b " * 1_000)], columns={"speaker": "ann"})
    (table,) = breakdown_tables(told(loops + score_pairs([("a b", "a x")], columns={"speaker": "bob"})), None)
    assert table.scale == "100% and more"
    assert [row.bar and row.bar.length for row in table.rows] == [200, 100]


def test_of_many_values_those_with_the_most_words_are_shown_and_the_others_counted() -> None:
    (table,) = breakdown_tables(told(speakers(MAX_PARTS + 3, "a")), None)
    assert [row.value for row in table.rows] == [f"{number:03}" for number in range(3, MAX_PARTS + 3)]
    assert (table.left_out, table.left_out_utterances) == (3, 3)


def test_confusions_seen_once_are_noise_unless_there_are_no_others() -> None:
    once = told(score_pairs([("a", "b"), ("c", "d")]))
    twice = told(score_pairs([("a", "b"), ("a", "b"), ("c", "d")]))
    assert [(one.reference, one.count) for one in frequent_confusions(once)] == [("a", 1), ("c", 1)]
    assert [(one.reference, one.count) for one in frequent_confusions(twice)] == [("a", 2)]


def test_odd_transcripts_are_counted_now_and_before() -> None:
    odd = told(
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
    assert odd_kinds(told(score_pairs([("a", "a")])), odd)[0].before == 1
