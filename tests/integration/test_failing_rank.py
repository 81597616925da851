"""A rank that raises ends all ranks, with its error on the screen; no rank waits for ever."""

import pytest

from tests.integration.tones import TonesJob

GRACE_S = 60  # then the harness would kill the ranks that still run


@pytest.mark.parametrize("moment", ["evaluation", "step"])
def test_a_rank_that_raises_ends_all_within_a_minute(tones: TonesJob, moment: str) -> None:
    ends = {"moment": moment, "count": 2, "signal": 0, "rank": 1}
    name = f"fails-in-{moment}"
    plan = [tones.launch(name, (3, 2, 1), ends=ends, grace_s=GRACE_S)]
    assert tones.run_plan(plan) == [[1, 1, 1]]  # all by themselves: none was killed
    assert "RuntimeError: made to fail by the test" in tones.said(name, rank=1)
