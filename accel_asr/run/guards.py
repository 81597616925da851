"""The guards of a run at each evaluation: scored, and held against the untouched model's rates."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from transformers import WhisperForConditionalGeneration

from accel_asr.console.bars import advance
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.selection.long_recordings import LongRecording
from accel_asr.errors import UserError
from accel_asr.evaluation.evaluating import evaluate_model
from accel_asr.evaluation.guard_sets import Guard
from accel_asr.evaluation.intervals import Interval, paired_difference, rate_intervals
from accel_asr.evaluation.long_form import score_long_recordings
from accel_asr.evaluation.run_files import read_transcripts, transcripts_file
from accel_asr.evaluation.scoring import ScoredUtterance, corpus_score
from accel_asr.ranks.agreement import Agreement
from accel_asr.run.display import Display
from accel_asr.run.examinations import no_speech_of_run
from accel_asr.run.job import Job

UTTERANCES, LONG_FORM, SILENCE = "utterances", "long_form", "silence"  # kinds


@dataclass(frozen=True)
class GuardResult:
    """What a model made of one guard.

    Args:
        scored: Its utterances, recordings or clips; `words` of a clip without speech count 1 error of 1 where words
            were written.
        seconds: Wall time on this rank.
    """

    kind: str
    scored: list[ScoredUtterance]
    seconds: float
    interval: Interval

    @property
    def rate(self) -> float:
        """WER, or the share of clips without speech in which words were written."""
        return corpus_score(self.scored).wer


@dataclass
class RunGuards:
    """Scores the guards of a run. Every method is a collective, and gives every rank the same.

    `output_dir` is None where nothing is written. `baseline` holds the untouched model's results by guard, where this
    process has scored them.
    """

    job: Job
    output_dir: Path | None
    accelerator: Accelerator
    agreement: Agreement | None
    display: Display
    baseline: dict[str, list[ScoredUtterance]] = field(default_factory=dict)

    def score(self, whole: WhisperForConditionalGeneration) -> dict[str, GuardResult]:
        """Score every guard.

        Raises:
            AgreedStopError: a stop was asked for; on every rank.
        """
        return {guard.name: self._score(guard, whole) for guard in self.job.guards}

    def records(
        self, results: Mapping[str, GuardResult], baseline: Mapping[str, Any] | None
    ) -> dict[str, dict[str, Any]]:
        """What an evaluation's record says of its guards, by name.

        Args:
            baseline: The same of the untouched model; None if this is that.
        """
        if baseline is None:
            self.baseline = {name: result.scored for name, result in results.items()}
        records = {}
        for guard in self.job.guards:
            result = results[guard.name]
            before = result.rate if baseline is None else baseline[guard.name]["rate"]
            change = result.rate - before
            records[guard.name] = {
                "kind": result.kind,
                "rate": result.rate,
                "rate_interval": list(result.interval),
                "margin": guard.margin,
                "change": change,
                "change_interval": self._change_interval(guard.name, result),
                "held": change <= guard.margin + 1e-12,
                "utterances": len(result.scored),
            }
        # the main process alone has read the baseline's transcripts of a resumed run
        shared: dict[str, dict[str, Any]] = broadcast_object_list([records])[0]
        return shared

    def require_baseline(self, baseline: Mapping[str, Any] | None) -> None:
        """Check that a resumed run can hold its guards against the untouched model.

        Raises:
            UserError: a guard was not scored at the baseline.
        """
        known = (baseline or {}).get("guards", {})
        missing = [guard.name for guard in self.job.guards if guard.name not in known]
        if missing:
            raise UserError(
                f"the untouched model's score of {', '.join(missing)} is not known, and can't be made any more",
                setting="--evaluation.guards",
                remedy="resume with the guards that the run began with, or start a new run",
                same_on_every_rank=True,
            )

    def _score(self, guard: Guard, whole: WhisperForConditionalGeneration) -> GuardResult:
        started_s = time.perf_counter()
        if guard.utterances is None:
            no_speech = no_speech_of_run(
                self.job, whole, self.accelerator, self.agreement, self.display, name=guard.name
            )
            seconds = time.perf_counter() - started_s
            return GuardResult(SILENCE, no_speech.scored, seconds, no_speech.interval)
        if guard.is_long:
            recordings = LongRecording.whole(guard.utterances)
            with self.display.evaluation_bar(len(recordings), name=guard.name) as bar:
                long_form = score_long_recordings(
                    whole,
                    recordings,
                    self.job.decoding,
                    processor=self.job.processor,
                    encoder=self.job.validation_items.encoder,
                    accelerator=self.accelerator,
                    agreement=self.agreement,
                    on_recording=lambda: advance(bar, 1, processes=self.accelerator.num_processes),
                )
            return GuardResult(LONG_FORM, long_form.scored, long_form.seconds, rate_intervals(long_form.scored)["wer"])
        items = ClipItems(
            guard.utterances,
            feature_extractor=self.job.processor.feature_extractor,
            encoder=self.job.validation_items.encoder,
            prompt=self.job.decoding.prompt,
        )
        with self.display.evaluation_bar(len(guard.utterances), name=guard.name) as bar:
            scored = evaluate_model(
                whole,
                items,
                self.job.decoding,
                accelerator=self.accelerator,
                collator=self.job.collator,
                agreement=self.agreement,
                on_batch=lambda utterances: advance(bar, utterances, processes=self.accelerator.num_processes),
            ).scored
        seconds = time.perf_counter() - started_s
        return GuardResult(UTTERANCES, scored, seconds, rate_intervals(scored)["wer"])

    def _change_interval(self, name: str, result: GuardResult) -> list[float]:
        """The 95% interval of the change since the baseline, paired; nan where its transcripts are lost."""
        before = self._baseline_of(name)
        if [line.transcript.utterance_id for line in before] != [
            line.transcript.utterance_id for line in result.scored
        ]:
            return [float("nan"), float("nan")]
        return list(paired_difference(result.scored, before).interval)

    def _baseline_of(self, name: str) -> Sequence[ScoredUtterance]:
        if name not in self.baseline and self.output_dir is not None and self.accelerator.is_main_process:
            try:
                file = guard_file(self.output_dir, name, {"step": 0})
                self.baseline[name] = read_transcripts(file, setting="--output_dir", remedy="")
            except UserError:
                self.baseline[name] = []
        return self.baseline.get(name, [])


def guard_file(output_dir: Path, name: str, record: Mapping[str, Any]) -> Path:
    """Where the transcripts of a guard in an evaluation are."""
    return output_dir / "guards" / name / transcripts_file(record)
