"""The parts of a model that settings name, and what those settings may say. Nothing heavy is imported."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from accel_asr.errors import UserError

# `embeddings` are those of the decoder's tokens, tied with the output projection, and of its positions
PARTS = ("encoder", "decoder", "embeddings")
LAYERS = "encoder_layers"
FREEZE, MULTIPLIERS = "--model.freeze", "--training.learning_rate_multipliers"
_REMEDY = f"give any of {', '.join(PARTS)} and {LAYERS}: N, such as [{LAYERS}: 2, embeddings]"


class FrozenParts(NamedTuple):
    """What is not trained: whole parts, and the lowest layers of the encoder with the convolutions below them."""

    parts: frozenset[str]
    encoder_layers: int


def frozen_parts(freeze: Sequence[str | Mapping[str, int]]) -> FrozenParts:
    """What `model.freeze` means; it has been checked."""
    layers = [entry[LAYERS] for entry in freeze if not isinstance(entry, str)]
    return FrozenParts(frozenset(entry for entry in freeze if isinstance(entry, str)), max(layers, default=0))


def freeze_errors(freeze: Sequence[str | Mapping[str, int]]) -> Iterator[UserError]:
    """What is wrong with `model.freeze`."""
    for entry in freeze:
        if isinstance(entry, str) and entry not in PARTS:
            yield UserError("there is no such part of a model", setting=FREEZE, value=entry, remedy=_REMEDY)
        elif not isinstance(entry, str) and [*entry] != [LAYERS]:
            yield UserError("is no part of a model", setting=FREEZE, value=dict(entry), remedy=_REMEDY)
        elif not isinstance(entry, str) and entry[LAYERS] < 1:
            remedy = "give how many of the encoder's layers to freeze, from the lowest, at least 1"
            yield UserError("is out of range", setting=FREEZE, value=dict(entry), remedy=remedy)
    names = [entry if isinstance(entry, str) else next(iter(entry), "") for entry in freeze]
    if {"encoder", "decoder"} <= set(names):
        remedy = "leave out one of them"
        yield UserError("leaves nothing to train", setting=FREEZE, value=_shown(freeze), remedy=remedy)
    for whole, part in (("encoder", LAYERS), ("decoder", "embeddings")):
        if {whole, part} <= set(names):
            yield UserError(f"{part} are part of {whole}", setting=FREEZE, value=_shown(freeze), remedy="give only one")
    if len(set(names)) < len(names):
        yield UserError("names a part twice", setting=FREEZE, value=_shown(freeze), remedy="give each once")


def multiplier_errors(
    multipliers: Mapping[str, float], *, freeze: Sequence[str | Mapping[str, int]]
) -> Iterator[UserError]:
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
        elif part in freeze:
            yield UserError(f"{part} is frozen", setting=MULTIPLIERS, value={part: factor}, remedy="leave out one")
    trained = {part: multipliers.get(part, 1) for part in ("encoder", "decoder") if part not in freeze}
    if multipliers and not any([*trained.values(), multipliers.get("embeddings")]):
        yield UserError("leaves nothing to train", setting=MULTIPLIERS, value=dict(multipliers), remedy="raise one")


def _shown(freeze: Sequence[str | Mapping[str, int]]) -> list[Any]:
    return [entry if isinstance(entry, str) else dict(entry) for entry in freeze]
