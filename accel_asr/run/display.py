"""What a person sees during a run: a progress bar, a table at each evaluation, a summary at the end.

In a log there are lines now and then instead, and the table once, at the end.
"""

import math
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.table import Table

from accel_asr.console.bars import TRAINING_LINE_S, Bar, ProgressLines, bars_are_seen, progress_bar, text_bar
from accel_asr.console.printing import percent, table_console
from accel_asr.console.public_text import visible, visible_lines
from accel_asr.evaluation.run_files import context_in_words, weights_in_words
from accel_asr.evaluation.score_tables import shown
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.run.best_rule import broken_guards, candidates, guard_in_words, price_of_guards, table_of_guards
from accel_asr.run.examined_lines import examined_lines
from accel_asr.run.forecast import RunForecast, duration
from accel_asr.training.started_step import StepResult

SHOWN_UTTERANCES = 3
SHOWN_EVALUATIONS = 8
SHOWN_PARTS = 20  # languages, sources, recordings that can't be decoded
SHOWN_CHARACTERS = 200  # of a transcript
SHOWN_FAULTS = 20  # lines about recordings that fail while training
EVALUATION_LINE_S = 60.0  # in a log; those in between stand in metrics.jsonl


class Display:
    """Prints on the main process only; every method may be called on every rank."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.is_main = accelerator.is_main_process
        self.is_log = not bars_are_seen()
        self.console = table_console()
        self.scores: list[tuple[str, Mapping[str, Any]]] = []
        self.forecast: RunForecast | None = None  # learns how long steps and evaluations take
        self.bar: Bar | None = None
        self.started_s = self.step_ended_s = 0.0
        self.audio_s = 0.0
        self._loss_sum, self._loss_tokens = 0.0, 0  # since the last line of a log
        self._first_evaluation_reported = False
        self._faults_shown = 0
        self._evaluation_line_s = -math.inf
        self._evaluations_unshown = 0
        self._last_details: tuple[Mapping[str, Any], Sequence[ScoredUtterance]] | None = None

    def say(self, text: str) -> None:
        """Print lines, above the progress bar if there is one. Controls in them are shown as text."""
        if self.is_main:
            if self.bar is not None:
                self.bar.clear()
            self.console.print(visible_lines(text))

    def say_line(self, text: str) -> None:
        """Print a single line, even if a name in it holds a line break."""
        self.say(visible(text))

    def say_lines(self, texts: Iterable[str]) -> None:
        """Print each as one line."""
        for text in texts:
            self.say_line(text)

    def say_fault(self, text: str) -> None:
        """Print a line about a failed recording: the first SHOWN_FAULTS, then only that there are more."""
        self._faults_shown += 1
        if self._faults_shown <= SHOWN_FAULTS:
            self.say(visible(text))
        if self._faults_shown == SHOWN_FAULTS:
            self.say("more such lines are in metrics.jsonl, and are counted at the end")

    def start_training(self, *, first_step: int, last_step: int) -> None:
        """Open the progress bar, or begin with the lines of a log."""
        if self.is_main and self.is_log:
            self.bar = ProgressLines(
                last_step, desc="train", unit="steps", done=first_step - 1, every_s=TRAINING_LINE_S, say=self.say
            )
        else:
            self.bar = text_bar(
                total=last_step,
                initial=first_step - 1,
                desc="train",
                unit="step",
                disable=not self.is_main,
                # not tqdm's own guess at the time left, which leaves out evaluations and longer steps
                bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}{postfix}]",
            )
        self.started_s = self.step_ended_s = time.perf_counter()
        self.audio_s = 0.0

    def show_step(self, result: StepResult, learning_rate: float, *, loss: float | None = None) -> None:
        """Advance the bar: loss, learning rate, seconds of audio trained on per second, time left.

        Args:
            loss: Shown by the bar in place of the step's own; a line of a log has the mean since the last line.
        """
        assert self.bar is not None
        now_s = time.perf_counter()
        self.audio_s += result.audio_s
        self._loss_sum += result.loss * result.target_tokens
        self._loss_tokens += result.target_tokens
        step = int(self.bar.n) + 1
        left, line = None, None
        if self.forecast is not None:
            self.forecast.step_took(now_s - self.step_ended_s)
            left = self.forecast.seconds_left(step)
            line = self.forecast.line_after(step)
        self.step_ended_s = now_s
        shown_loss = result.loss if loss is None else loss
        if isinstance(self.bar, ProgressLines) and self.bar.is_due(units=1):
            shown_loss = self._loss_sum / self._loss_tokens
            self._loss_sum, self._loss_tokens = 0.0, 0
        throughput = self.audio_seconds_per_second()
        parts = [
            f"loss {shown_loss:.3f}",
            f"lr {learning_rate:.1e}",
            f"{throughput:.{0 if throughput >= 1 else 2}f} audio-s/s",
        ]
        parts += [] if left is None else [f"{duration(left)} left"]
        self.bar.set_postfix_str(", ".join(parts), refresh=False)
        self.bar.update()
        if line is not None:
            self.say(line)

    def audio_seconds_per_second(self) -> float:
        """Throughput since the bar opened, evaluations not counted."""
        return self.audio_s / max(time.perf_counter() - self.started_s, 1e-9)

    def evaluation_bar(self, utterances: int, *, name: str = "evaluate") -> Bar:
        """A bar over the utterances that this rank transcribes."""
        return progress_bar(utterances, desc=name, unit="utterances", is_shown=self.is_main)

    def filling_bar(self, clips: int) -> Bar:
        """A bar over the training clips that are encoded before training, on all ranks."""
        return progress_bar(clips, desc="encoder outputs", unit="clips", is_shown=self.is_main)

    def evaluated(self, seconds: float) -> None:
        """Let the forecast expect the next evaluation to take as long."""
        if self.forecast is not None:
            self.forecast.evaluation_took(seconds)

    def say_time_of_evaluations(self, step: int) -> None:
        """After the first evaluation: how long it took, and what the rest will take."""
        if self.forecast is not None and not self._first_evaluation_reported:
            self.say(self.forecast.line_after_first_evaluation(step))
        self._first_evaluation_reported = True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of an evaluation or a checkpoint out of the throughput."""
        began_s = time.perf_counter()
        yield
        seconds = time.perf_counter() - began_s
        self.started_s += seconds
        self.step_ended_s += seconds

    def show_scores(self, record: Mapping[str, Any], scored: Sequence[ScoredUtterance], *, remark: str) -> None:
        """The table of the first and the newest evaluations, and the first transcripts of this evaluation.

        In a log, a line at most every EVALUATION_LINE_S; `metrics.jsonl` has all of them.

        Args:
            remark: `baseline`, `best so far`, or nothing.
        """
        if not self.is_main:
            return
        if self.bar is not None:
            self.bar.clear()
        self.scores.append((remark, record))
        if self.is_log:
            self._last_details = (record, scored)
            self._say_evaluation(record, remark)
        else:
            self._show_table()
            self._show_details(record, scored)

    def _say_evaluation(self, record: Mapping[str, Any], remark: str) -> None:
        if len(self.scores) > 1 and time.monotonic() - self._evaluation_line_s < EVALUATION_LINE_S:
            self._evaluations_unshown += 1
            return
        more = f"; {self._evaluations_unshown} since the line before" if self._evaluations_unshown else ""
        self.say(
            f"evaluation at step {record['step']} (epoch {record['epoch']:g}): WER {percent(record['wer'])}, WER ortho "
            f"{percent(record['wer_ortho'])}, CER {percent(record['cer'])}, loss {record['loss']:.3f}, "
            f"{record['cut_off']} cut off{f', {remark}' if remark else ''}{more}"
        )
        self._say_guards(record)
        self._evaluation_line_s, self._evaluations_unshown = time.monotonic(), 0

    def _show_table(self) -> None:
        table = Table(
            title=f"{self.scores[-1][1]['utterances']} validation utterances{context_in_words(self.scores[-1][1])}",
            title_justify="left",
        )
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

    def _say_guards(self, record: Mapping[str, Any]) -> None:
        for name, guard in record.get("guards", {}).items():
            is_before = record["step"] == 0
            self.say_line(
                f"  guard {name}: {percent(guard['rate'])}" if is_before else f"  guard {guard_in_words(name, guard)}"
            )

    def _show_details(self, record: Mapping[str, Any], scored: Sequence[ScoredUtterance]) -> None:
        self._say_guards(record)
        for kind in ("language", "source"):
            parts = record.get(f"by_{kind}", {})
            for value, part in list(parts.items())[:SHOWN_PARTS]:
                rates = f"WER {percent(part['wer'])}, CER {percent(part['cer'])}"
                self.say(f"  {kind} {shown(value)}: {rates}, {part['utterances']:,} utterances")
            self._say_more(len(parts))
        not_decoded = [utterance.transcript for utterance in scored if utterance.transcript.audio_problem is not None]
        for transcript in not_decoded[:SHOWN_PARTS]:
            problem = shown(str(transcript.audio_problem))
            self.say(f"  not decoded, scored as an empty transcript: {shown(transcript.utterance_id)} ({problem})")
        self._say_more(len(not_decoded))
        for utterance in scored[:SHOWN_UTTERANCES]:
            transcript = utterance.transcript
            self.say(f"  reference   {shown(transcript.reference, most=SHOWN_CHARACTERS)}")
            self.say(f"  hypothesis  {shown(transcript.hypothesis, most=SHOWN_CHARACTERS)}")

    def _say_more(self, count: int) -> None:
        if count > SHOWN_PARTS:
            self.say(f"  and {count - SHOWN_PARTS:,} more")

    def close_bar(self) -> None:
        """Remove the progress bar; in a log, the table of the evaluations follows, once."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        if self.is_main and self._last_details is not None:
            self._show_table()
            self._show_details(*self._last_details)
            self._last_details = None

    def say_stopped(self, step: int, last_step: int) -> None:
        """A signal stopped the run after `step`."""
        saved = "a checkpoint is saved" if step else "nothing was trained yet"
        self.say(
            f"stopped after step {step} of {last_step}, as asked by a signal; {saved}. Resume with the same command "
            "and --checkpoint.resume true"
        )

    def say_left_out(self, filtered: Mapping[str, int], unreadable: Sequence[str]) -> None:
        """What training itself dropped: rows of a stream by reason, and recordings that could not be decoded."""
        for reason, count in filtered.items():
            self.say_line(f"dropped from the stream: {count:,} ({reason})")
        if unreadable:
            self.say(f"could not be decoded in training: {len(unreadable):,} recordings, see metrics.jsonl")

    def _show_guards(self, summary: Mapping[str, Mapping[str, Any]]) -> None:
        """The WER and the guards with their intervals, and what was not chosen because of them."""
        rows = table_of_guards(summary)
        if not rows or not self.is_main:
            return
        table = Table(title="with 95% intervals; a guard's change in points, of those allowed", title_justify="left")
        for title in rows[0]:
            table.add_column(title, justify="right" if title else "left", overflow="fold")
        for name, *cells in rows[1:]:
            table.add_row(visible(name), *cells)
        self.console.print(table)
        if price := price_of_guards(summary):
            self.say_line(price)

    def show_summary(
        self,
        summary: Mapping[str, Mapping[str, Any]],
        output_dir: Path,
        *,
        report: Path | None = None,
        has_curves: bool = True,
    ) -> None:
        """Baseline -> best, where things are, and what to type next.

        Args:
            report: The page, if it was written.
            has_curves: TensorBoard's files were written.
        """
        best, last, baseline = summary.get("best"), summary["last"], summary.get("baseline")
        before = f"{percent(baseline['wer'])} before, " if baseline else ""
        chosen = "none best" if best is None else f"{percent(best['wer'])} best ({weights_in_words(best)})"
        self.say(
            f"\nWER {before}{chosen}, {percent(last['wer'])} last "
            f"(step {last['step']}), on {last['utterances']} utterances{context_in_words(best or last)}"
        )
        for record in (record for record in candidates(summary) if record != best):
            broken = "".join(f", breaks guard {name}" for name, _ in broken_guards(record))
            self.say_line(f"WER {percent(record['wer'])} {weights_in_words(record)}{broken}")
        self._show_guards(summary)
        self.say_lines(examined_lines(summary))
        if baseline and best and not best["wer"] < baseline["wer"]:
            self.say("note: no evaluation was better than the untouched model's")
        model = output_dir / ("last" if best is None else "best")
        push = f"publish     accel-asr push {shlex.quote(str(output_dir))} --hub_model_id USER/NAME"
        publish = push if best is not None else ""
        adapter = output_dir / "best_adapter"
        adapters = f"; its adapters alone: {adapter}" if adapter.is_dir() else ""
        curves = f"curves      tensorboard --logdir {shlex.quote(str(output_dir))}\n" if has_curves else ""
        self.say(
            (f"report      {report}\n" if report else "")
            + f"model       {model}{adapters}\n"
            f"scores      {output_dir / 'summary.json'}, {output_dir / 'evaluations'}\n"
            f"transcribe  accel-asr transcribe --model {shlex.quote(str(model))} FILE...\n"
            f"{curves}{publish}".rstrip()
        )


def note_on_times() -> str:
    """For a run that trained only on texts without times."""
    return (
        "note: no label had times (data.timestamps_probability: 0), so the model may unlearn them: on recordings "
        "longer than its window, segment times may be coarser than before. Where they matter, train with "
        "--data.timestamps_probability 0.5"
    )
