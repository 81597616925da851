"""Whether a model that was trained on short contexts still works with its whole window, as others will use it."""

from collections.abc import Mapping
from typing import Any

from accel_asr.console.printing import percent


def full_context_problem(record: Mapping[str, Any], baseline: Mapping[str, Any] | None, *, margin: float) -> str | None:
    """What to say loudly about an evaluation at the whole window; None where all is well, or nothing was trained.

    Args:
        record: As summary.json has it, with what the model scored at the speech context in `speech_context`.
        baseline: That of the untouched model.
        margin: How much higher, as a fraction of the words, its WER may be.
    """
    if baseline is None or "speech_context" not in record or record["wer"] is None or baseline["wer"] is None:
        return None
    if not record["wer"] > baseline["wer"] + margin:
        return None
    return (
        f"WARNING: at its whole window the model of step {record['step']} is worse than the untouched one: WER "
        f"{percent(record['wer'])} against {percent(baseline['wer'])} (and {percent(record['speech_context']['wer'])} "
        "at the speech context). Whoever loads it has it hear the whole window: train for longer, so that the last "
        "steps, which hear it too, are more, or leave out training.audio_context: speech"
    )
