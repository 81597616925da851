"""Does a model that was trained on short contexts still work at its full window, as others will use it?"""

from collections.abc import Mapping
from typing import Any

from accel_asr.console.printing import percent


def full_context_problem(record: Mapping[str, Any], baseline: Mapping[str, Any] | None, *, margin: float) -> str | None:
    """A warning where the model is worse at the full window than the untouched one; else None.

    Args:
        record: An evaluation as in summary.json, with that at the speech context in `speech_context`.
        baseline: The evaluation of the untouched model.
        margin: How much higher the WER may be, as a fraction.
    """
    if baseline is None or "speech_context" not in record or record["wer"] is None or baseline["wer"] is None:
        return None
    if not record["wer"] > baseline["wer"] + margin:
        return None
    return (
        f"WARNING: at its whole window the model of step {record['step']} is worse than the untouched one: WER "
        f"{percent(record['wer'])} against {percent(baseline['wer'])} (and {percent(record['speech_context']['wer'])} "
        "at the speech context). Others will run it at the full window: train for longer, so that more of the last "
        "steps use it too, or leave out training.audio_context: speech"
    )
