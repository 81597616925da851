"""Early stopping: a run ends when its word error rate no longer falls, by the rule of transformers' callback."""

from collections.abc import Iterator
from dataclasses import dataclass

from accel_asr.training.saving.checkpoint_state import Progress


@dataclass(frozen=True)
class EarlyStopping:
    """Ends a run before `last_step` after `patience` evaluations in a row without a gain; None never does.

    A gain is a WER that is lower than the best so far by more than `threshold`. Every rank counts the same, since each
    has the same WER. The count is in `Progress`, and so in the checkpoint.
    """

    patience: int | None
    threshold: float
    last_step: int

    def count(self, progress: Progress, wer: float) -> None:
        """Count an evaluation of the model in training. Call before it becomes the best itself."""
        # a model that broke a guard is not the best, and yet it has learnt
        lowest = min(
            (progress.scores[name]["wer"] for name in ("best", "unguarded") if name in progress.scores), default=None
        )
        has_gained = lowest is None or lowest - wer > self.threshold
        progress.evaluations_without_gain = 0 if has_gained else progress.evaluations_without_gain + 1

    def ends(self, progress: Progress) -> bool:
        """Whether the run ends here, before its last step."""
        if self.patience is None or progress.step >= self.last_step:
            return False
        return progress.evaluations_without_gain >= self.patience

    def steps_left(self, progress: Progress) -> Iterator[int]:
        """The steps to take, until the last or until the run ends early."""
        for step in range(progress.step + 1, self.last_step + 1):
            if self.ends(progress):
                return
            yield step


def early_stop_in_words(*, step: int, last_step: int, evaluations: int, threshold: float) -> str:
    """`stopped early, after step 40 of 100: ...`"""
    by = f" by more than {100 * threshold:g} points" if threshold else ""
    times = "the last evaluation" if evaluations == 1 else f"the last {evaluations:,} evaluations"
    return f"stopped early, after step {step:,} of {last_step:,}: the WER has not improved{by} in {times}"
