"""What was examined before training and in the best model, as lines for the end of a run."""

from collections.abc import Mapping
from typing import Any

from accel_asr.console.printing import percent


def examined_lines(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What was found before training and in the best model, or in the last where none is the best."""
    before, after = scores.get("baseline", {}), scores.get("best") or scores["last"]
    lines = []
    if "no_speech" in after:
        parts = [_share(record["no_speech"]) for record in (before, after) if "no_speech" in record]
        lines.append(f"words where nobody speaks: {' before, '.join(parts)} after, of made-up clips")
    if "long_form" in after:
        lines.append(f"long recordings: {_long_form(before.get('long_form'), after['long_form'])}")
    return lines


def _long_form(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    """`WER 9.87% before, 12.30% after, 0 and 2 loops, 0 and 1 missing stretches, in 3 of 6.1 min in all`."""
    if "skipped" in after:
        return f"not transcribed: {after['skipped']}"
    sides = [after] if before is None else [before, after]
    wer = " before, ".join(percent(side["wer"]) for side in sides)
    loops, missing = (" and ".join(f"{side[name]:,}" for side in sides) for name in ("loops", "missing"))
    length = f"{after['recordings']:,} of {after['audio_seconds'] / 60:.1f} min in all"
    return f"WER {wer} after, {loops} loops, {missing} missing stretches, in {length}"


def _share(no_speech: Mapping[str, Any]) -> str:
    return f"{no_speech['with_words']} of {no_speech['clips']}"
