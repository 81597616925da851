"""What counts as words that nobody said."""

import pytest

from accel_asr.evaluation.hallucinations import find_hallucinations, is_looping
from tests.unit.evaluation.made_up_scores import score_pairs


@pytest.mark.parametrize(
    ("hypothesis", "reference", "expected"),
    [
        ("thank you thank you thank you thank you", "hello", True),
        ("thank you thank you thank you", "hello", False),  # three times may be said
        ("no no no no no no", "hello", True),
        ("no no no no", "hello", False),  # too short to be sure
        ("no no no no no no", "no no no no no no", False),  # it was said so
        ("ご視聴ありがとうご視聴ありがとうご視聴ありがとうご視聴ありがとう", "はい", True),  # without spaces
        ("hahahahahahahahaha", "hm", True),
        ("", "hello", False),
        ("the cat sat on the mat and the dog on the rug", "x", False),
        ("four hundred four hundred and four hundred or four hundred", "x", False),  # not in a row
        ("my card was declined so i want a new one " + "and then " * 30, "my card was declined", True),
    ],
)
def test_loops(hypothesis: str, reference: str, expected: bool) -> None:
    assert is_looping(hypothesis, reference) == expected


def test_a_long_transcript_does_not_make_the_pattern_try_for_ever() -> None:
    assert not is_looping("".join(chr(97 + n * n % 25) + " " * (n % 3 == 0) for n in range(20_000)), "x")


def test_each_kind_is_found() -> None:
    scored = score_pairs(
        [
            ("pay the bill", "please pay the bill now"),  # all of it, and more
            ("pay the bill", "please pay a bill now"),  # an ordinary error
            ("pay", "pay " * 8),  # all of it, in a loop
            ("", "thanks for watching"),
            ("", ""),
            ("pay the bill", "pay the bill"),
        ]
    )
    found = find_hallucinations(scored)
    assert [one.transcript.utterance_id for one in found.insertion_only] == ["u0", "u2"]
    assert [one.transcript.utterance_id for one in found.looping] == ["u2"]
    assert [one.transcript.utterance_id for one in found.from_nothing] == ["u3"]
    assert found.silent == []


def test_words_for_silence_are_found_and_no_words_for_it_are_right() -> None:
    found = find_hallucinations(score_pairs([("pay", "pay"), ("pay", "")], silent=True))
    assert [one.transcript.utterance_id for one in found.silent] == ["u0"]
