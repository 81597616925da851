"""The parts of a Whisper model by which settings name its weights: frozen, or trained at a rate of their own."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from torch import nn
from transformers import WhisperForConditionalGeneration

from accel_asr.config.trained_parts import FREEZE, LAYERS, PARTS
from accel_asr.errors import UserError

NO_MULTIPLIERS: Mapping[str, float] = MappingProxyType({})
_EMBEDDINGS = {"embed_tokens", "embed_positions", "proj_out"}


def part_of(parameter: str) -> str:
    """`encoder`, `decoder` or `embeddings` (of the decoder), by the full name of a weight, or of an adapter of it."""
    modules = parameter.split(".")
    if "encoder" in modules:
        return "encoder"
    return "embeddings" if _EMBEDDINGS.intersection(modules) else "decoder"


def rate_multiplier(parameter: str, multipliers: Mapping[str, float]) -> float:
    """The factor of a weight's learning rate: that of its part, 1 without; the decoder's holds for its embeddings."""
    part = part_of(parameter)
    whole = "decoder" if part == "embeddings" else part
    return multipliers.get(part, multipliers.get(whole, 1.0))


def freeze(model: WhisperForConditionalGeneration, parts: Collection[str], encoder_layers: int = 0) -> None:
    """Exclude weights from training.

    Args:
        parts: Any of `encoder`, `decoder` (with its embeddings) and `embeddings`.
        encoder_layers: So many of the encoder's lowest layers too, with the convolutions below them.

    Raises:
        UserError: the encoder has fewer layers.
    """
    layers = model.config.encoder_layers
    if encoder_layers > layers:
        remedy = f"give at most {layers}, or freeze the encoder"
        problem = f"the encoder has only {layers} layers"
        raise UserError(problem, setting=FREEZE, value={LAYERS: encoder_layers}, remedy=remedy)
    wholes = {part: {part} for part in PARTS} | {"embeddings": {"embeddings", "decoder"}}
    for name, parameter in model.named_parameters():
        part = part_of(name)
        if wholes[part].intersection(parts) or (part == "encoder" and _is_below(name, encoder_layers)):
            parameter.requires_grad_(False)


def _is_below(parameter: str, encoder_layers: int) -> bool:
    """Whether a weight of the encoder belongs to its lowest layers or what is below them."""
    inside = parameter.split(".encoder.", 1)[1].split(".")
    if inside[0] == "layers":
        return int(inside[1]) < encoder_layers
    return encoder_layers > 0 and inside[0] in ("conv1", "conv2")


def parameters_by_part(model: nn.Module) -> dict[str, dict[str, int]]:
    """`{"encoder": {"trained": 0, "all": 8208384}, ...}`: how many parameters of each part are trained, of how many."""
    counts = {part: {"trained": 0, "all": 0} for part in PARTS}
    for name, parameter in model.named_parameters():
        counts[part_of(name)]["all"] += parameter.numel()
        counts[part_of(name)]["trained"] += parameter.numel() if parameter.requires_grad else 0
    return counts


def parameters_in_words(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Of `parameters_by_part`: `29,552,256 of 37,760,640 (encoder 0 of 8,208,384, ...)`."""
    trained, total = (sum(count[which] for count in counts.values()) for which in ("trained", "all"))
    parts = ", ".join(f"{part} {count['trained']:,} of {count['all']:,}" for part, count in counts.items())
    return f"{trained:,} of {total:,} ({parts})"
