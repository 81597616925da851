"""The learning rate that suits a Whisper model of a given size, where the user sets none."""

import math
from dataclasses import dataclass
from typing import NamedTuple

SHARE_OF_PRETRAINING = 1 / 40  # of the peak that OpenAI trained that size with, as Whisper's authors advise
FAR_TOO_HIGH = 10  # from so many times the size's own rate on, a run says so
HIGHEST = 1e-3  # for toys: far below tiny, the line that is drawn through the sizes has no meaning


class _Size(NamedTuple):
    name: str
    d_model: int
    encoder_layers: int
    decoder_layers: int
    mel_bins: int
    parameters: int
    pretraining_peak: float


# peaks: appendix F of "Robust Speech Recognition via Large-Scale Weak Supervision"; from large-v2 on, by OpenAI
_SIZES = (
    _Size("tiny", 384, 4, 4, 80, 37_760_640, 1.5e-3),
    _Size("base", 512, 6, 6, 80, 72_593_920, 1e-3),
    _Size("small", 768, 12, 12, 80, 241_734_912, 5e-4),
    _Size("medium", 1024, 24, 24, 80, 763_857_920, 2.5e-4),
    _Size("large", 1280, 32, 32, 80, 1_543_304_960, 1.75e-4),
    _Size("large-v3", 1280, 32, 32, 128, 1_543_490_560, 2e-4),
    _Size("large-v3-turbo", 1280, 32, 4, 128, 808_878_080, 2e-4),
)
# of LoRA adapters: about twenty times the rate for whole models of that size
_ADAPTER_RATES = {"small": 3e-4, "large": 1e-4}
_LARGE_V2 = _Size("large-v2", 1280, 32, 32, 80, 1_543_304_960, 2e-4)  # only its name tells it from large
_LINE = _SIZES[:5]  # of one family, each larger than the one before


@dataclass(frozen=True)
class SuitedRate:
    """A peak learning rate, and why it is this one, in words that follow on "which is"."""

    learning_rate: float
    reason: str


def suited_rate(
    *, d_model: int, encoder_layers: int, decoder_layers: int, num_mel_bins: int, parameters: int, name: str = ""
) -> SuitedRate:
    """A fortieth of OpenAI's peak where the dimensions are those of one of its models, English-only ones included.

    For other sizes the logarithm of the rate is interpolated over the logarithm of `parameters`, all that the model
    has. Beyond the ends: as large above it; below tiny on the same line, up to 1e-3.

    Args:
        name: What the model is called, as far as that is known: large and large-v2 have the same dimensions.
    """
    for size in (_LARGE_V2, *_SIZES) if _LARGE_V2.name in name else _SIZES:
        if size[1:5] == (d_model, encoder_layers, decoder_layers, num_mel_bins):
            return SuitedRate(
                _fine_tuning(size), f"a fortieth of the rate that OpenAI trained whisper-{size.name} with"
            )
    if parameters >= _LINE[-1].parameters:
        return SuitedRate(_fine_tuning(_LINE[-1]), "the rate for whisper-large, the largest that is known")
    above = next(index for index, size in enumerate(_LINE) if parameters < size.parameters)
    smaller, larger = _LINE[max(above, 1) - 1], _LINE[max(above, 1)]
    share = math.log(parameters / smaller.parameters) / math.log(larger.parameters / smaller.parameters)
    rate = _fine_tuning(smaller) * (_fine_tuning(larger) / _fine_tuning(smaller)) ** share
    names = f"whisper-{smaller.name} and whisper-{larger.name}"
    line = f"interpolated between the rates for {names}" if above else f"extrapolated from the rates for {names}"
    million = f"{parameters / 1e6:,.{0 if parameters >= 1e7 else 1}f}"
    return SuitedRate(min(_rounded(rate), HIGHEST), f"{line}: this model has {million} million parameters")


def suited_adapter_rate(*, d_model: int) -> SuitedRate:
    """For LoRA adapters: 3e-4 up to whisper-small's width, 1e-4 from whisper-large's on.

    In between the logarithm of the rate is interpolated over that of the width.
    """
    (small, high), (large, low) = _ADAPTER_RATES.items()
    widths = {size.name: size.d_model for size in _SIZES}
    if d_model <= widths[small]:
        return SuitedRate(high, f"the rate for adapters of whisper-{small} and smaller models")
    if d_model >= widths[large]:
        return SuitedRate(low, f"the rate for adapters of whisper-{large} and models as wide")
    share = math.log(d_model / widths[small]) / math.log(widths[large] / widths[small])
    rate = float(f"{high * (low / high) ** share:.2g}")
    return SuitedRate(rate, f"interpolated between the rates for adapters of whisper-{small} and whisper-{large}")


def rate_in_words(learning_rate: float | None, suited: SuitedRate, *, scheduler_type: str, warmup: str) -> str | None:
    """What a run says of its learning rate at the start; None where the user has set a sound one.

    Args:
        learning_rate: As set, None where it is not.
        warmup: Such as `6 of 60 steps`.
    """
    if learning_rate is None:
        then = {"linear": "linear to zero", "constant_with_warmup": "constant"}.get(scheduler_type, scheduler_type)
        return (
            f"training.learning_rate is not set: {suited.learning_rate:g}, {suited.reason}; "
            f"{then} after a warmup of {warmup}"
        )
    if learning_rate < FAR_TOO_HIGH * suited.learning_rate:
        return None
    times = learning_rate / suited.learning_rate
    return (
        f"warning: training.learning_rate: {learning_rate:g} is {f'{times:,.0f}' if times < 1e6 else f'{times:.0e}'} "
        f"times what suits this model's size ({suited.learning_rate:g}, {suited.reason}), and may undo what it has "
        "learnt; leave it out, or set a lower one"
    )


def _fine_tuning(size: _Size) -> float:
    return _rounded(size.pretraining_peak * SHARE_OF_PRETRAINING)


def _rounded(rate: float) -> float:
    return float(f"{rate:.4g}")  # as a person would write it in config.yaml
