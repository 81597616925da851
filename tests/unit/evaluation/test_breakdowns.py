"""Scores of parts: which parts there are, that they add up, and their order."""

from dataclasses import replace

import pytest

from accel_asr.evaluation.breakdowns import breakdowns, duration_bucket, part_verdicts, worst_part
from accel_asr.evaluation.scoring import ScoredUtterance
from tests.unit.evaluation.made_up_scores import score_pairs


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (0.0, "0 to 1 s"),
        (0.999, "0 to 1 s"),
        (1.0, "1 to 2 s"),
        (7.9, "4 to 8 s"),
        (29.9, "15 to 30 s"),
        (30, "30 s and more"),
    ],
)
def test_duration_buckets_begin_with_their_lower_bound(duration_s: float, expected: str) -> None:
    assert duration_bucket(score_pairs([("a", "a")], duration_s=duration_s)[0]) == expected


def test_parts_by_any_column_add_up_and_are_in_a_natural_order() -> None:
    scored = []
    for row, speaker in enumerate(["s10", "s2", None, "s2"]):
        columns = {} if speaker is None else {"speaker": speaker}
        scored += score_pairs([("pay the bill", "pay a bill")] * (row + 1), columns=columns, duration_s=row + 0.5)
    found = breakdowns(scored)
    assert set(found) == {"speaker", "duration"}
    assert [part.value for part in found["speaker"]] == ["s2", "s10", "unset"]
    assert [part.score.utterances for part in found["speaker"]] == [6, 1, 3]
    assert sum(part.score.substitutions for part in found["speaker"]) == 10
    assert [part.value for part in found["duration"]] == ["0 to 1 s", "1 to 2 s", "2 to 4 s"]
    part = found["speaker"][0]
    assert part.interval == (part.score.wer, part.score.wer)  # every utterance has one error in three words


def test_a_column_in_which_all_are_alike_is_no_part() -> None:
    assert breakdowns(score_pairs([("a", "a"), ("b", "c")], language="en", columns={"intent": "pay"})) == {}


def test_language_and_source_are_parts_where_there_are_several() -> None:
    scored = score_pairs([("a", "a")], language="en", source="calls") + score_pairs([("b", "c")], source="calls")
    assert [part.value for part in breakdowns(scored)["language"]] == ["en", "unset"]
    assert "source" not in breakdowns(scored)


def test_only_the_columns_asked_for() -> None:
    scored = score_pairs([("a", "a")], columns={"x": "1", "y": "1"}) + score_pairs(
        [("a", "a")], columns={"x": "2", "y": "2"}
    )
    assert set(breakdowns(scored, columns=["y"])) == {"y"}


def test_kept_columns_called_as_our_own_parts_are_told_beside_them() -> None:
    scored = []
    for duration_s, cell in ((0.5, "x"), (1.5, "y"), (2.5, "y")):
        columns = {"duration": cell, "source": cell, "language": "en"}
        scored += score_pairs([("a", "a")], duration_s=duration_s, language="en", columns=columns)
    found = breakdowns(scored)
    assert set(found) == {"column duration", "column source", "duration"}
    assert [part.value for part in found["column source"]] == ["x", "y"]
    assert [part.value for part in found["duration"]] == ["0 to 1 s", "1 to 2 s", "2 to 4 s"]


def test_a_kept_language_column_is_not_told_twice() -> None:
    scored = [score_pairs([("a", "a")], language=one, columns={"language": one})[0] for one in ("de", "en")]
    assert list(breakdowns(scored)) == ["language"]


def test_values_of_thousands_of_digits_have_an_order_too() -> None:
    values = ["9" * 5_000, "10", "9"]
    scored = [score_pairs([("a", "a")], columns={"id": value})[0] for value in values]
    assert [part.value for part in breakdowns(scored)["id"]] == ["9", "10", values[0]]


def of_group(value: str, errors: int, *, utterances: int, first: int = 0) -> list[ScoredUtterance]:
    """Utterances of ten words, so many wrong in each."""
    text = "a b c d e f g h i j"
    pairs = [(text, " ".join(["x"] * errors + text.split()[errors:]))] * utterances
    scored = score_pairs(pairs, columns={"group": value}, duration_s=1.5)
    return [
        replace(line, transcript=replace(line.transcript, utterance_id=f"{value}{first + row}"))
        for row, line in enumerate(scored)
    ]


def test_the_worst_part_is_one_with_enough_utterances() -> None:
    scored = of_group("a", 1, utterances=20) + of_group("b", 3, utterances=20) + of_group("c", 9, utterances=19)
    parts = breakdowns(scored)["group"]
    worst = worst_part(parts)
    assert worst is not None
    assert (worst.value, worst.score.wer) == ("b", pytest.approx(0.3))
    assert worst_part(parts[1:]) is None  # one alone is not the worst of any
    smaller = worst_part(parts, least=19)
    assert smaller is not None
    assert smaller.value == "c"


def test_parts_are_compared_with_before_after_a_correction() -> None:
    def group(value: str, fixed: int, *, broken: int = 0) -> tuple[list[ScoredUtterance], list[ScoredUtterance]]:
        before = of_group(value, 2, utterances=20)
        now = of_group(value, 1, utterances=fixed) + of_group(value, 3, utterances=broken, first=fixed)
        return now + of_group(value, 2, utterances=20 - fixed - broken, first=fixed + broken), before

    # 4 of 20 better and none worse is clear alone, but not among many
    groups = {"good": group("good", 20), "some": group("some", 4), "bad": group("bad", 0, broken=20)}
    groups |= {f"same {number}": group(f"same {number}", 1, broken=1) for number in range(9)}

    def verdicts(*names: str) -> dict[str, str]:
        now, before = ([line for name in names for line in groups[name][side]] for side in (0, 1))
        return part_verdicts(breakdowns(now)["group"], breakdowns(before)["group"])

    assert verdicts("some", "good")["some"] == "better"
    among_many = verdicts(*groups)
    assert (among_many["good"], among_many["bad"], among_many["some"]) == ("better", "worse", "could be chance")
    assert part_verdicts(breakdowns(of_group("a", 1, utterances=3) + of_group("b", 1, utterances=3))["group"], []) == {}
