"""`training.lr_scheduler_kwargs`: what each type of schedule takes, by transformers' names."""

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from accel_asr.errors import UserError

SCHEDULER_KWARGS = "--training.lr_scheduler_kwargs"
SHAPES = ("linear", "cosine", "1-sqrt")


class _Allowed(NamedTuple):
    """In words, and as a test."""

    words: str
    takes: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    """A whole number beyond all floats, with which no rate can be computed, is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


_FROM_ZERO = _Allowed("a finite number of at least 0", lambda value: _is_number(value) and value >= 0)
_ABOVE_ZERO = _Allowed("a finite number above 0", lambda value: _is_number(value) and value > 0)
_SHARE = _Allowed("a share between 0 and 1", lambda value: _is_number(value) and 0 <= value <= 1)
_STEPS = _Allowed(
    "a whole number of steps of at least 1", lambda value: isinstance(value, int) and _is_number(value) and value >= 1
)
_SHAPE = _Allowed(" or ".join(SHAPES), lambda value: value in SHAPES)
_ARGUMENTS: dict[str, dict[str, _Allowed]] = {
    "cosine": {"num_cycles": _ABOVE_ZERO},
    "cosine_with_min_lr": {"min_lr": _FROM_ZERO, "min_lr_rate": _SHARE, "num_cycles": _ABOVE_ZERO},
    "warmup_stable_decay": {
        "num_decay_steps": _STEPS,
        "decay_type": _SHAPE,
        "warmup_type": _SHAPE,
        "min_lr_ratio": _SHARE,
        "num_cycles": _ABOVE_ZERO,
    },
    "inverse_sqrt": {"timescale": _STEPS},
    "polynomial": {"power": _ABOVE_ZERO, "lr_end": _FROM_ZERO},
}
# exactly one of them must be given; and an example
_NEEDED = {
    "cosine_with_min_lr": (("min_lr", "min_lr_rate"), "{min_lr_rate: 0.1}"),
    "warmup_stable_decay": (("num_decay_steps",), "{num_decay_steps: 100} in a run of 1,000 steps"),
}


def scheduler_errors(scheduler_type: str, arguments: Mapping[str, Any]) -> Iterator[UserError]:
    """What is wrong with the arguments of a schedule, as far as it depends on no model and no length of the run."""
    known = _ARGUMENTS.get(scheduler_type, {})
    takes = f"{scheduler_type} takes {', '.join(known) or 'none'}"
    for name, value in arguments.items():
        if name not in known:
            yield UserError(takes, setting=SCHEDULER_KWARGS, value={name: value}, remedy="leave it out")
        elif not known[name].takes(value):
            remedy = f"give {known[name].words}"
            yield UserError("does not fit", setting=SCHEDULER_KWARGS, value={name: value}, remedy=remedy)
    needed, example = _NEEDED.get(scheduler_type, ((), ""))
    if needed and sum(name in arguments for name in needed) != 1:
        problem = f"{scheduler_type} needs {'one of ' if len(needed) > 1 else ''}{' and '.join(needed)}"
        yield UserError(problem, setting=SCHEDULER_KWARGS, value=dict(arguments), remedy=f"such as {example}")
