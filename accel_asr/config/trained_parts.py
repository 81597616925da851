"""The parts of a model that settings name, and what those settings may say. Nothing heavy is imported."""

import math
from collections.abc import Iterator, Mapping

from accel_asr.errors import UserError

# `embeddings` are those of the decoder's tokens, tied with the output projection, and of its positions
PARTS = ("encoder", "decoder", "embeddings")
MULTIPLIERS = "--training.learning_rate_multipliers"


def multiplier_errors(multipliers: Mapping[str, float]) -> Iterator[UserError]:
    """What is wrong with `training.learning_rate_multipliers`."""
    for part, factor in multipliers.items():
        if part not in PARTS:
            remedy = f"name any of {', '.join(PARTS)}"
            yield UserError(
                "there is no such part of a model", setting=MULTIPLIERS, value={part: factor}, remedy=remedy
            )
        elif not 0 <= factor < math.inf:
            remedy = "give a finite number of at least 0"
            yield UserError("is out of range", setting=MULTIPLIERS, value={part: factor}, remedy=remedy)
    if multipliers and not any(multipliers.values()) and {"encoder", "decoder"} <= set(multipliers):
        yield UserError("leaves nothing to train", setting=MULTIPLIERS, value=dict(multipliers), remedy="raise one")
