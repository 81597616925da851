"""Two models on the same utterances."""

import pytest

from accel_asr.evaluation.comparing import compare
from tests.unit.evaluation.made_up_scores import score_pairs

REFERENCES = ["pay the bill now", "freeze my card", "hello", ""]


def scored(*hypotheses: str):
    return score_pairs(list(zip(REFERENCES, hypotheses, strict=True)))


def test_what_changed_most_comes_first() -> None:
    before = scored("pay a bill", "x y z", "hello", "")
    after = scored("pay the bill now", "freeze my car", "hello you there", "thanks for watching")
    found = compare(before, after)
    assert [(change.after.transcript.utterance_id, change.errors) for change in found.improved] == [
        ("u0", -2),
        ("u1", -2),
    ]
    # words for an empty reference are errors too, though no rate counts them
    assert [(change.after.transcript.utterance_id, change.errors) for change in found.worsened] == [
        ("u3", 3),
        ("u2", 2),
    ]
    assert found.changed_transcripts == 4
    assert found.differences["wer"].difference == pytest.approx((1 + 2 - 2 - 3) / 8)
    assert set(found.differences) == {"wer", "wer_ortho", "cer", "cer_ortho"}


def test_utterances_are_paired_by_their_ids_not_by_their_order() -> None:
    before = scored("pay a bill", "freeze my card", "hello", "")
    assert compare(before, before[::-1]).changed_transcripts == 0


def test_at_most_so_many_are_told() -> None:
    assert len(compare(scored("x", "x", "x", ""), scored(*REFERENCES), most=2).improved) == 2


def test_other_utterances_or_references_can_not_be_compared() -> None:
    whole = scored(*REFERENCES)
    with pytest.raises(ValueError, match="utterances are not the same"):
        compare(whole, whole[1:])
    with pytest.raises(ValueError, match="references are not the same"):
        compare(score_pairs([("a", "a")]), score_pairs([("b", "a")]))
