"""Recordings that fail when their turn comes: counted, said, and no more of them than the user lets pass."""

from collections.abc import Sequence

from accel_asr.data.collator import FailedItem
from accel_asr.errors import UserError
from accel_asr.training.checkpoints import Progress


def note_unreadable(
    failed: Sequence[FailedItem], progress: Progress, *, step: int, train_utterances: int, max_bad_fraction: float
) -> str:
    """Add them to the run's progress; returns a line for the user. The same on every rank.

    Raises:
        UserError: by now more than `max_bad_fraction` of the training utterances have failed.
    """
    progress.unreadable = sorted({*progress.unreadable, *(item.utterance_id for item in failed)})
    named = "; ".join(f"{item.utterance_id} ({item.reason})" for item in failed)
    told = f"step {step}: {len(failed)} recordings could not be decoded, and the batch was without them: {named}"
    if len(progress.unreadable) > max_bad_fraction * train_utterances:
        raise UserError(
            f"data.max_bad_fraction: {len(progress.unreadable)} of {train_utterances} training recordings could not be "
            f"decoded by step {step}, more than the share of {max_bad_fraction:g} that is let pass; mend them or raise "
            f"--data.max_bad_fraction, and go on with --checkpoint.resume true. {told}",
            same_on_every_rank=True,
        )
    return told
