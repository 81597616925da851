"""What ranks agree on while they wait, seen from one rank; several are in `integration/test_waits.py`."""

from collections.abc import Callable

import pytest
from accelerate import Accelerator

from accel_asr.errors import UserError
from accel_asr.ranks.agreement import AgreedDataError, AgreedStopError, Agreement
from accel_asr.training.stopping import SavedAtTheEnd


def after(polls: int, then: Callable[[], str]) -> Callable[[float], str | None]:
    """Not ready so many times."""
    left = [polls]

    def ready(wait_s: float) -> str | None:
        left[0] -= 1
        return None if left[0] >= 0 else then()

    return ready


def raises(error: Exception) -> Callable[[], str]:
    def ready() -> str:
        raise error

    return ready


@pytest.mark.parametrize("polls", [0, 1, 3])
def test_a_wait_ends_when_all_is_ready(accelerator: Accelerator, polls: int) -> None:
    assert Agreement(accelerator).wait(after(polls, lambda: "window")) == "window"


@pytest.mark.parametrize("polls", [0, 10**9])
def test_a_stop_ends_the_wait_whether_or_not_the_data_come(accelerator: Accelerator, polls: int) -> None:
    with pytest.raises(AgreedStopError):
        Agreement(accelerator, lambda: True).wait(after(polls, lambda: "window"))


def test_a_failure_of_the_data_is_raised_as_one_of_all_ranks(accelerator: Accelerator) -> None:
    refusal = UserError("is damaged", setting="--data.name_or_path", value="a.tar", remedy="get it again")
    with pytest.raises(AgreedDataError) as caught:
        Agreement(accelerator).wait(after(1, raises(refusal)))
    agreed = caught.value
    assert agreed.same_on_every_rank
    assert (agreed.setting, agreed.value, agreed.remedy) == ("--data.name_or_path", "a.tar", "get it again")
    with pytest.raises(AssertionError, match="ours"):  # with its own traceback
        Agreement(accelerator).wait(after(1, raises(AssertionError("ours"))))


def test_ranks_at_work_look_around_now_and_then_only(accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    agreement = Agreement(accelerator, lambda: bool(asked.append(1)))
    for _ in range(10):
        agreement.in_time()
    assert len(asked) == 1
    monkeypatch.setattr("accel_asr.ranks.agreement.AGREE_EVERY_S", 0.0)
    agreement.in_time()
    assert len(asked) == 2


def test_an_agreed_end_is_saved_and_another_error_is_not() -> None:
    saves: list[int] = []
    with SavedAtTheEnd(lambda: saves.append(1)) as ending:
        raise AgreedStopError
    assert (ending.is_stopped, len(saves)) == (True, 1)
    ending = SavedAtTheEnd(lambda: saves.append(1))
    with pytest.raises(AgreedDataError, match=r"a worker died; .*--checkpoint.resume true"), ending:
        raise AgreedDataError("a worker died")
    assert (ending.is_stopped, len(saves)) == (False, 2)
    with pytest.raises(ZeroDivisionError), SavedAtTheEnd(lambda: saves.append(1)):
        raise ZeroDivisionError
    assert len(saves) == 2
    with SavedAtTheEnd(lambda: saves.append(1)) as ending:
        pass
    assert (ending.is_stopped, len(saves)) == (False, 2)
