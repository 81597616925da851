"""The parts of a Whisper model by which settings name its weights."""

from collections.abc import Mapping
from types import MappingProxyType

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
