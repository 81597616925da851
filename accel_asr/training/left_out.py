"""Recordings that fail when their turn comes: counted, said, and no more of them than the user lets pass."""

from collections.abc import Sequence

from accel_asr.data.loading.collator import FailedItem
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
    told = []
    for item in failed:
        if item.is_filtered:
            progress.filtered[item.reason] = progress.filtered.get(item.reason, 0) + 1
            if progress.filtered[item.reason] == 1:
                told.append(f"step {step}: left out {item.utterance_id} ({item.reason}), and more will be counted")
    unreadable = [item for item in failed if not item.is_filtered]
    if not unreadable:
        return told
    progress.unreadable = sorted({*progress.unreadable, *(item.utterance_id for item in unreadable)})
    named = "; ".join(f"{item.utterance_id} ({item.reason})" for item in unreadable)
    line = f"step {step}: {len(unreadable)} recordings could not be used, and the batch was without them: {named}"
    if len(progress.unreadable) > max_bad_fraction * rows:
        raise UserError(
            f"data.max_bad_fraction: {len(progress.unreadable)} training recordings could not be used by step {step}, "
            f"more than the share of {max_bad_fraction:g} of {rows:,} that is let pass; mend them or raise "
            f"--data.max_bad_fraction, and go on with --checkpoint.resume true. {line}",
            same_on_every_rank=True,
        )
    return [*told, line]
