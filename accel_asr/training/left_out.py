"""Recordings that fail during training: counted, reported, and never more than `data.max_bad_fraction`."""

from collections.abc import Sequence

from accel_asr.data.loading.items import FailedItem
from accel_asr.errors import UserError
from accel_asr.training.saving.checkpoint_state import Progress


def note_left_out(
    failed: Sequence[FailedItem], progress: Progress, *, step: int, rows: int, max_bad_fraction: float
) -> list[str]:
    """Add them to the run's progress; returns lines for the user. The same on every rank.

    Args:
        rows: Training utterances, or those of a stream that have been seen so far.

    Raises:
        UserError: by now more than `max_bad_fraction` of the training utterances have failed.
    """
    lines = []
    for item in failed:
        if item.is_filtered:
            progress.filtered[item.reason] = progress.filtered.get(item.reason, 0) + 1
            if progress.filtered[item.reason] == 1:
                lines.append(f"step {step}: left out {item.utterance_id} ({item.reason}), and more will be counted")
    unreadable = [item for item in failed if not item.is_filtered]
    if not unreadable:
        return lines
    progress.unreadable = sorted({*progress.unreadable, *(item.utterance_id for item in unreadable)})
    named = "; ".join(f"{item.utterance_id} ({item.reason})" for item in unreadable)
    line = f"step {step}: {len(unreadable)} recordings could not be used, and the batch was without them: {named}"
    if len(progress.unreadable) > max_bad_fraction * rows:
        raise UserError(
            f"by step {step}, {len(progress.unreadable)} of {rows:,} training recordings could not be used, which is a "
            f"larger share. {line}",
            setting="--data.max_bad_fraction",
            value=max_bad_fraction,
            remedy="mend them or raise it, and resume with --checkpoint.resume true",
            same_on_every_rank=True,
        )
    return [*lines, line]
