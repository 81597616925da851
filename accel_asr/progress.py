"""What a person sees while a run goes: one progress bar, a table at each evaluation, a summary at the end."""

import math
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console
from rich.table import Table
from tqdm.auto import tqdm

from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.training.step import StepResult

SHOWN_UTTERANCES = 3
SHOWN_EVALUATIONS = 8


class Display:
    """Prints on the main process only; every method may be called on every rank."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.is_main = accelerator.is_main_process
        self.console = Console(soft_wrap=True)
        self.scores: list[tuple[str, Mapping[str, Any]]] = []
        self.bar: tqdm[Any] | None = None
        self.started_s = 0.0
        self.audio_s = 0.0

    def say(self, text: str) -> None:
        """Print one line, above the progress bar if there is one."""
        if self.is_main:
            if self.bar is not None:
                self.bar.clear()
            self.console.print(text, markup=False, highlight=False)

    def start_training(self, *, first_step: int, last_step: int) -> None:
        """Open the progress bar."""
        self.bar = tqdm(
            total=last_step, initial=first_step - 1, desc="train", unit="step", disable=not self.is_main, leave=False
        )
        self.started_s = time.perf_counter()
        self.audio_s = 0.0

    def show_step(self, result: StepResult, learning_rate: float) -> None:
        """Advance the bar: loss, learning rate, seconds of audio trained on in a second of training."""
        assert self.bar is not None
        self.audio_s += result.audio_s
        self.bar.set_postfix_str(
            f"loss {result.loss:.3f}, lr {learning_rate:.1e}, {self.audio_seconds_per_second():.0f} audio-s/s",
            refresh=False,
        )
        self.bar.update()

    def audio_seconds_per_second(self) -> float:
        """Throughput since the bar opened, evaluations not counted."""
        return self.audio_s / max(time.perf_counter() - self.started_s, 1e-9)

    def evaluation_bar(self, utterances: int) -> "tqdm[Any]":
        """A bar over the utterances that this rank transcribes."""
        return tqdm(total=utterances, desc="evaluate", unit="utt", disable=not self.is_main, leave=False)

    def filling_bar(self, clips: int) -> "tqdm[Any]":
        """A bar over the training clips that the encoder hears, on all ranks, before training."""
        return tqdm(total=clips, desc="encoder outputs", unit="clip", disable=not self.is_main, leave=False)

    def pause(self, seconds: float) -> None:
        """Leave the time of an evaluation or a checkpoint out of the throughput."""
        self.started_s += seconds

    def show_scores(self, record: Mapping[str, Any], scored: Sequence[ScoredUtterance], *, remark: str) -> None:
        """The table of the first evaluation and the newest ones, and the first transcripts of this one.

        Args:
            remark: What this evaluation is beside its numbers: `baseline`, `best so far`, or nothing.
        """
        if not self.is_main:
            return
        if self.bar is not None:
            self.bar.clear()
        self.scores.append((remark, record))
        table = Table(title=f"{record['utterances']} validation utterances", title_justify="left")
        for column in ("step", "epoch", "WER", "WER ortho", "CER", "loss", "cut off"):
            table.add_column(column, justify="right")
        table.add_column("")
        for row_remark, row in self.scores[:1] + self.scores[1:][-SHOWN_EVALUATIONS:]:
            table.add_row(
                str(row["step"]),
                f"{row['epoch']:g}",
                percent(row["wer"]),
                percent(row["wer_ortho"]),
                percent(row["cer"]),
                f"{row['loss']:.3f}",
                str(row["cut_off"]),
                row_remark,
            )
        self.console.print(table)
        for kind in ("language", "source"):
            for value, part in record.get(f"by_{kind}", {}).items():
                told = f"  {kind} {value}: WER {percent(part['wer'])}, CER {percent(part['cer'])}"
                self.console.print(f"{told}, {part['utterances']:,} utterances", markup=False, highlight=False)
        for utterance in scored:
            transcript = utterance.transcript
            if transcript.audio_problem is not None:
                told = f"  not decoded, scored as an empty transcript: {transcript.utterance_id}"
                self.console.print(f"{told} ({transcript.audio_problem})", markup=False, highlight=False)
        for utterance in scored[:SHOWN_UTTERANCES]:
            transcript = utterance.transcript
            self.console.print(f"  reference   {transcript.reference}", markup=False, highlight=False)
            self.console.print(f"  hypothesis  {transcript.hypothesis}", markup=False, highlight=False)

    def close_bar(self) -> None:
        """Remove the progress bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def show_summary(
        self, summary: Mapping[str, Mapping[str, Any]], output_dir: Path, *, report: Path | None = None
    ) -> None:
        """Baseline -> best, where things are, and what to type next.

        Args:
            report: The page that was written, if one was.
        """
        best, last, baseline = summary["best"], summary["last"], summary.get("baseline")
        before = f"{percent(baseline['wer'])} before, " if baseline else ""
        self.say(
            f"\nWER {before}{percent(best['wer'])} best (step {best['step']}), {percent(last['wer'])} last "
            f"(step {last['step']}), on {best['utterances']} utterances"
        )
        if "speech_context" in best:
            rates = [percent(record["speech_context"]["wer"]) for record in (best, last)]
            self.say(
                f"WER {rates[0]} best, {rates[1]} last at the speech context; the line above is at the whole window"
            )
        if baseline and not best["wer"] < baseline["wer"]:
            self.say("note: no evaluation was better than the untouched model's")
        self.say(
            (f"report      {report}\n" if report else "") + f"model       {output_dir / 'best'}\n"
            f"scores      {output_dir / 'summary.json'}, {output_dir / 'evaluations'}\n"
            f"transcribe  accel-asr transcribe --model {shlex.quote(str(output_dir / 'best'))} FILE...\n"
            f"curves      tensorboard --logdir {shlex.quote(str(output_dir))}\n"
            f"publish     accel-asr push {shlex.quote(str(output_dir))} --hub_model_id USER/NAME"
        )


def percent(rate: float) -> str:
    """0.0512 as `5.12%`; a rate that is not defined as `n/a`."""
    return "n/a" if math.isnan(rate) else f"{100 * rate:.2f}%"
