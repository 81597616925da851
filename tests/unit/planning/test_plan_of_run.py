"""How a plan shares its time."""

import pytest

from accel_asr.planning.plan_of_run import SHARE_OF_STEPS, seconds_for_steps


@pytest.mark.parametrize(
    ("left_s", "ways", "for_steps_s"),
    [
        (200, 4, 200 / 4 - 30),
        (100, 4, 100 / 3 - 30),  # there is time for three: the next one does not wait for the last
        (50, 4, 50 - 30),
        (50, 1, 50 - 30),
        (20, 4, 20 - 30),  # for none
        (-5, 2, -5 - 30),
    ],
)
def test_ways_share_the_time_that_is_left(left_s: float, ways: int, for_steps_s: float) -> None:
    assert seconds_for_steps(left_s, ways=ways, beside_s=30) == pytest.approx(for_steps_s * SHARE_OF_STEPS)
