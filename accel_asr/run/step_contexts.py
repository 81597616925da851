"""How much of the audio window the encoder sees in each step of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from accel_asr.data.loading.collator import Batch
from accel_asr.data.order.epoch_order import WindowPlan
from accel_asr.data.order.plan_protocol import Plan
from accel_asr.model.audio_context import SpeechContext


@dataclass(frozen=True)
class StepContexts:
    """The whole window in each step; or, with `training.audio_context: speech`, as much as the clips need.

    Args:
        speech: None is the whole window.
        plan: A `WindowPlan` that knows durations, where `speech` is given.
        slowest: How many times as long as it was an utterance may become.
        most_shift_s: Silence that may come before it.
    """

    speech: SpeechContext | None
    plan: Plan
    last_step: int
    seed: int
    slowest: float = 1.0
    most_shift_s: float = 0.0

    def positions(self, step: int) -> int | None:
        """Encoder positions of `step`; None is all. The same on every rank and after any restart."""
        if self.speech is None:
            return None
        assert isinstance(self.plan, WindowPlan)  # check_config saw to it
        longest_s = self.plan.longest_s(step) * self.slowest + self.most_shift_s
        return self.speech.positions_at(step, longest_s, last_step=self.last_step, seed=self.seed)

    def heard(self, window: Sequence[Batch], step: int) -> Sequence[Batch]:
        """The batches with features cut to the positions of `step`, two frames each."""
        positions = self.positions(step)
        return window if positions is None else [batch.first_frames(2 * positions) for batch in window]

    @property
    def full_positions(self) -> int:
        """Those of the whole window; 1 if every step uses it."""
        return 1 if self.speech is None else self.speech.full_positions

    @property
    def first_full_step(self) -> int | None:
        """The first of the last steps, which all use the whole window; None if every step does."""
        return None if self.speech is None else self.speech.first_full_step(self.last_step)
