"""What was examined before training and in the best model, as lines for the end of a run."""

from collections.abc import Mapping
from typing import Any


def examined_lines(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What was found before training and in the best model, or in the last where none is the best."""
    before, after = scores.get("baseline", {}), scores.get("best") or scores["last"]
    lines = []
    if "no_speech" in after:
        parts = [_share(record["no_speech"]) for record in (before, after) if "no_speech" in record]
        lines.append(f"words where nobody speaks: {' before, '.join(parts)} after, of made-up clips")
    return lines


def _share(no_speech: Mapping[str, Any]) -> str:
    return f"{no_speech['with_words']} of {no_speech['clips']}"
