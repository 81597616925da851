"""The rules of a plan's answer, by cases."""

from typing import Any

import pytest

from accel_asr.evaluation.intervals import Difference
from accel_asr.planning.advice import Advice, Finding, advise

BETTER = Difference(-0.10, (-0.14, -0.06), 0.0)
WORSE = Difference(0.10, (0.06, 0.14), 1.0)
NEARLY_ALL = Difference(-0.04, (-0.045, -0.035), 0.0)
CHANCE = Difference(-0.01, (-0.04, 0.02), 0.3)


def finding(way: str, change: Difference = BETTER, **more: Any) -> Finding:
    return Finding(**{"way": way, "change": change, "loss_change": -0.3, "step_s": 1.0, "fits": True, **more})


def advice(*findings: Finding, **changed: Any) -> Advice:
    """Of a model with 20% WER and an hour of training audio, unless that is changed."""
    settings_of = {
        "full": {},
        "merged": {"training": {"audio_context": "merged"}},
        "adapters": {"lora": {"enabled": True}},
    }
    case: dict[str, Any] = {
        "wer": 0.2,
        "wer_interval": (0.18, 0.22),
        "train_hours": 1.0,
        "prompted": None,
        "guards": ["general"],
        "settings_of": settings_of,
    }
    return advise(findings=findings, **case | changed)


@pytest.mark.parametrize(
    ("findings", "changed", "answer"),
    [
        ([finding("full")], {}, "full"),
        ([finding("full")], {"wer": 0.01, "wer_interval": (0.005, 0.019)}, "do nothing"),
        ([finding("full")], {"wer": 0.01, "wer_interval": (0.005, 0.03)}, "full"),  # it may be above 2%
        ([finding("full")], {"train_hours": 0.05}, "do nothing"),
        ([finding("full")], {"train_hours": None}, "full"),  # a stream: nobody knows
        ([], {"train_hours": 0.0}, "do nothing"),
        ([], {"train_hours": 0.0, "prompted": BETTER}, "prompt"),
        (
            [finding("full")],
            {"wer": 0.05, "wer_interval": (0.03, 0.07), "prompted": NEARLY_ALL},
            "prompt",
        ),
        ([finding("full")], {"prompted": BETTER}, "full"),  # 10% are left
        ([finding("full", WORSE, loss_change=0.1)], {}, "do nothing"),
        ([finding("full", CHANCE, loss_change=0.0)], {}, "do nothing"),
        ([finding("full", CHANCE)], {}, "full"),  # the loss falls
        ([finding("full", WORSE)], {}, "do nothing"),  # though the loss falls
        ([finding("full", fits=False), finding("adapters", CHANCE)], {}, "adapters"),
        ([finding("full"), finding("adapters", WORSE)], {}, "full"),
        ([finding("full", step_s=2.0), finding("adapters", step_s=1.0)], {}, "adapters"),  # as good, and cheaper
        ([finding("full", step_s=2.0), finding("encoder", CHANCE, step_s=1.0)], {}, "full"),  # cheaper, and not as good
        ([finding("full", broken=("general",))], {}, "full, with replay"),
        ([finding("full", broken=("general",)), finding("adapters", CHANCE)], {}, "adapters"),  # it breaks nothing
    ],
)
def test_the_answer(findings: list[Finding], changed: dict[str, Any], answer: str) -> None:
    assert advice(*findings, **changed).answer == answer


def test_merged_padding_is_full_training_with_its_setting() -> None:
    given = advice(finding("full", step_s=2.0), finding("merged", step_s=1.0))
    assert (given.answer, given.settings) == ("full", {"training": {"audio_context": "merged"}})
    assert any("2.0 times as long" in reason for reason in given.reasons)


def test_a_broken_guard_is_answered_by_replay_and_interpolation() -> None:
    given = advice(finding("full", broken=("general",)))
    assert given.settings["checkpoint"] == {"interpolate": True}
    assert any("worsens general" in reason for reason in given.reasons)


def test_without_guards_it_says_that_nobody_will_notice() -> None:
    assert any("evaluation.guards" in reason for reason in advice(finding("full"), guards=[]).reasons)
    assert not any("evaluation.guards" in reason for reason in advice(finding("full")).reasons)


def test_a_prompt_adds_no_settings_and_comes_with_its_numbers() -> None:
    given = advice(finding("full"), wer=0.05, wer_interval=(0.03, 0.07), prompted=NEARLY_ALL)
    assert given.settings == {}
    assert any("-4.00 points (-4.50 to -3.50): better" in reason for reason in given.reasons)


def test_ways_without_time_are_named() -> None:
    assert any("no time to try adapters" in reason for reason in advice(finding("full"), untried=["adapters"]).reasons)
