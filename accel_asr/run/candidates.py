"""Other weights than those of a step, scored when training has ended: one that beats the best becomes `best/`.

They are averages over steps, and weights between the base model's and the last ones.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from torch import nn

from accel_asr.console.printing import percent
from accel_asr.errors import UserError
from accel_asr.evaluation.intervals import Difference, paired_difference
from accel_asr.evaluation.run_files import read_scored, weights_in_words
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.files.run_folder import checkpoint_path
from accel_asr.run.alphas import FIRST_ALPHAS, INTERPOLATION, finer_alphas, name_of
from accel_asr.run.best_rule import BEST, candidates, choose_candidate
from accel_asr.run.evaluations import RunEvaluations
from accel_asr.run.run_checkpoints import RunCheckpoints
from accel_asr.training.averages import lent
from accel_asr.training.interpolation import interpolated
from accel_asr.training.launch.sharding import sharded_like
from accel_asr.training.saving.checkpoint_mean import mean_weights, newest_intact

EMA, AVERAGE = "ema", "average"  # in summary.json


def score_candidates(evaluations: RunEvaluations, checkpoints: RunCheckpoints) -> None:
    """Score averages and interpolations, where they are asked for, and choose among them. A collective.

    What a resumed run has scored already is left alone. Afterwards the model has the weights of the last step again,
    and the checkpoint knows which weights `best/` has.

    Raises:
        AgreedStopError: a stop was asked for; on every rank.
    """
    scores, step = evaluations.progress.scores, evaluations.progress.step
    for record in candidates(scores):
        if record["step"] != step:  # of the end of a run that has been made longer
            del scores[record["weights"]]
    end = _EndOfRun(evaluations, checkpoints, turn=step + 1)
    end.score_averages()
    if evaluations.job.base_weights is not None:
        end.score_interpolations()
    end.choose()
    checkpoints.save()


@dataclass
class _EndOfRun:
    """Every method is a collective."""

    evaluations: RunEvaluations
    checkpoints: RunCheckpoints
    turn: int  # of what is written next

    @property
    def model(self) -> nn.Module:
        """Without its wrapper."""
        return self.evaluations.accelerator.unwrap_model(self.evaluations.model)

    @cached_property
    def rival(self) -> "_Rival":
        """The best of training."""
        evaluations = self.evaluations
        record = evaluations.progress.scores.get(BEST)
        evaluations.outputs.written.hand_over(lambda: None, step=self._next_turn())  # on return it is on disk
        scored: list[ScoredUtterance] = []
        if record is not None and evaluations.accelerator.is_main_process:
            try:
                scored = read_scored(evaluations.outputs.output_dir, record)
            except UserError as error:
                evaluations.display.say_line(
                    f"the transcripts of the best so far are lost, so nothing can beat it: {error}"
                )
        return _Rival(record, scored)

    def score_averages(self) -> None:
        average = self.checkpoints.average
        if average.decay is not None:
            self._score(EMA, "moving average", {"ema_decay": average.decay}, lambda: average.tensors)
        most = self.checkpoints.settings.average_last
        if most is not None and not self._is_scored(AVERAGE):
            steps = self._steps_to_average(most)
            if len(steps) > 1:
                self._score(AVERAGE, f"mean of {len(steps)} checkpoints", {"steps": steps}, partial(self._mean, steps))

    def score_interpolations(self) -> None:
        scores = self.evaluations.progress.scores
        for alpha in FIRST_ALPHAS:
            self._score_alpha(alpha)
        ends = {0.0: scores.get("baseline"), 1.0: scores["last"]}
        scored = ends | {alpha: scores[name_of(alpha)] for alpha in FIRST_ALPHAS}
        for alpha in finer_alphas({alpha: record for alpha, record in scored.items() if record is not None}):
            self._score_alpha(alpha)

    def choose(self) -> None:
        """Make the winner `best/`, where one may be."""
        evaluations = self.evaluations
        scores = evaluations.progress.scores
        if not candidates(scores):
            return
        before, chosen = scores.get(BEST), choose_candidate(scores)
        if chosen is not None:
            with lent(self.model, self._weights_of(chosen)):
                evaluations.keep_best(turn=self._next_turn())
        evaluations.display.say_line(choice_in_words(chosen, before))

    def _score_alpha(self, alpha: float) -> None:
        weights = partial(self._interpolated, alpha)
        self._score(name_of(alpha), f"alpha {alpha:g}", {"alpha": alpha}, weights, kind=INTERPOLATION)

    def _score(
        self,
        name: str,
        title: str,
        details: Mapping[str, Any],
        weights: Callable[[], Mapping[str, torch.Tensor]],
        *,
        kind: str | None = None,
    ) -> None:
        """Score weights, unless that has been done, and save that they were."""
        if self._is_scored(name):
            return
        versus = self.rival.versus  # its transcripts may be those of an earlier average, which this one replaces
        with lent(self.model, weights()):
            self.evaluations.evaluate_candidate(
                name,
                title,
                details,
                kind=f"eval_{kind or name}",
                turn=self._next_turn(),
                versus=versus,
            )
        self.checkpoints.save()

    def _is_scored(self, name: str) -> bool:
        return name in self.evaluations.progress.scores

    def _next_turn(self) -> int:
        self.turn += 1
        return self.turn - 1

    def _weights_of(self, record: Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
        if record["weights"] == EMA:
            return self.checkpoints.average.tensors
        return self._mean(record["steps"]) if record["weights"] == AVERAGE else self._interpolated(record["alpha"])

    def _interpolated(self, alpha: float) -> dict[str, torch.Tensor]:
        base = self.evaluations.job.base_weights
        assert base is not None
        return interpolated(self.model, base.tensor, alpha)

    def _mean(self, steps: Sequence[int]) -> dict[str, torch.Tensor]:
        trained = {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}
        folders = [checkpoint_path(self.evaluations.outputs.output_dir, step) for step in steps]
        return {
            name: sharded_like(trained[name], tensor.to(trained[name].device))
            for name, tensor in mean_weights(folders, trained)
        }

    def _steps_to_average(self, most: int) -> list[int]:
        outputs, progress = self.evaluations.outputs, self.evaluations.progress
        outputs.written.hand_over(lambda: None, step=self._next_turn())  # on return the last checkpoint is on disk
        folders, notices = newest_intact(outputs.output_dir, step=progress.step, most=most)
        if len(folders) < most:
            then = "those are averaged" if len(folders) > 1 else "nothing is averaged"
            notices.append(
                f"checkpoint.average_last: {most} asked for, intact checkpoints there: {len(folders)}; {then}"
            )
        self.evaluations.display.say_lines(notices)
        return [int(folder.name.removeprefix("step-")) for folder in folders]


@dataclass(frozen=True)
class _Rival:
    """The best of training, which a candidate has to beat. `scored`: its transcripts, on the main process only."""

    record: Mapping[str, Any] | None
    scored: list[ScoredUtterance]

    def versus(self, scored: Sequence[ScoredUtterance]) -> dict[str, Any] | None:
        """A candidate's WER minus the rival's, paired: with 95% interval and p-value; None without a rival.

        A collective.
        """
        if self.record is None:
            return None
        unknown = math.nan
        result = Difference(unknown, (unknown, unknown), unknown, unknown)
        ids, own_ids = ([line.transcript.utterance_id for line in lines] for lines in (scored, self.scored))
        if ids == own_ids:
            result = paired_difference(scored, self.scored)
        compared = {
            **{name: self.record[name] for name in ("step", "weights", "wer") if name in self.record},
            "difference": result.difference,
            "interval": list(result.interval),
            "p_value": result.p_value,
        }
        shared: list[dict[str, Any]] = broadcast_object_list([compared])  # the main process has read the transcripts
        return shared[0]


def choice_in_words(chosen: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> str:
    """What became of `best/`, and why."""
    if chosen is None:
        if before is None:
            return "no average and no interpolation holds every guard either"
        return (
            f"best/ stays that of {weights_in_words(before)}: no average and no interpolation that holds every guard "
            "beats it beyond chance"
        )
    against = chosen["versus_best"]
    name = f"best/ is now the {weights_in_words(chosen)}, WER {percent(chosen['wer'])}"
    if against is None or before is None:
        return f"{name}: no evaluation of training held every guard"
    low, high = (100 * bound for bound in against["interval"])
    return (
        f"{name}: {100 * against['difference']:+.2f} points ({low:+.2f} to {high:+.2f}) against the "
        f"{weights_in_words(before)}"
    )
