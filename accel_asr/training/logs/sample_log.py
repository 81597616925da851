"""The first validation utterances in the trackers: transcripts at each evaluation, and once the recordings."""

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from accel_asr.audio.decoding import AudioError
from accel_asr.console.printing import say as say_line
from accel_asr.data.selection.utterances import Utterance
from accel_asr.training.logs.trackers import TENSORBOARD_DIR

TABLE, AUDIO = "samples/transcripts", "samples/audio"
COLUMNS = ["utterance", "reference", "hypothesis"]
INT16_SCALE = 32_768
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")  # of ASCII


class SampleLog:
    """Shows the same utterances at every evaluation, in order. Of the ranks, only the main one does anything."""

    def __init__(
        self,
        accelerator: Accelerator,
        utterances: Sequence[Utterance],
        *,
        sampling_rate_hz: int,
        output_dir: Path,
        first_step: int,
        say: Callable[[str], None] = say_line,
    ) -> None:
        self.trackers = {tracker.name: tracker for tracker in accelerator.trackers} if len(utterances) else {}
        self.utterances = utterances
        self.sampling_rate_hz = sampling_rate_hz
        self.say = say
        self.wants_audio = not evaluated_before(first_step, output_dir)
        self.writer: Any = None
        if "tensorboard" in self.trackers:
            from torch.utils.tensorboard import SummaryWriter

            # apart from the curves, which may be published: texts and voices of the validation data are not
            self.writer = SummaryWriter(output_dir / TENSORBOARD_DIR / "samples", purge_step=first_step)

    def log(self, step: int, transcripts: Sequence[tuple[str, str, str]]) -> None:
        """Show (utterance_id, reference, hypothesis) of these utterances; at the first evaluation their audio too."""
        if not self.trackers:
            return
        recordings = self._recordings() if self.wants_audio else {}
        self.wants_audio = False
        rows = [list(row) for row in transcripts]
        if self.writer is not None:
            self.writer.add_text(TABLE, markdown_table(rows), step)
            for number, (utterance_id, samples) in recordings.items():
                waveform = samples[None].astype(np.float32) / INT16_SCALE  # (1, samples)
                tag = f"{AUDIO}/{number} {utterance_id}"
                self.writer.add_audio(tag, waveform, step, sample_rate=self.sampling_rate_hz)
            self.writer.flush()
        for name in ("wandb", "trackio"):
            if name in self.trackers:
                self._log_as_media(name, step, rows, recordings)

    def close(self) -> None:
        """Close what this opened; the trackers themselves are closed by `Accelerator.end_training`."""
        if self.writer is not None:
            self.writer.close()

    def _log_as_media(
        self, name: str, step: int, rows: list[list[str]], recordings: dict[int, tuple[str, np.ndarray]]
    ) -> None:
        """By `wandb` or `trackio`, which have tables and audio of the same names."""
        library = import_module(name)
        values: dict[str, Any] = {TABLE: library.Table(columns=COLUMNS, data=rows)}
        for number, (utterance_id, samples) in recordings.items():
            # by number: wandb names a file by it, and an id may be any path
            audio = library.Audio(samples, sample_rate=self.sampling_rate_hz, caption=utterance_id)
            values[f"{AUDIO}/{number}"] = audio
        self.trackers[name].log(values, step=step)

    def _recordings(self) -> dict[int, tuple[str, np.ndarray]]:
        """Row of the table -> (utterance_id, int16 samples); recordings that can't be read any more are named."""
        recordings = {}
        for number, utterance in enumerate(self.utterances, start=1):
            try:
                recordings[number] = (utterance.utterance_id, utterance.samples())
            except AudioError as error:
                self.say(f"tracking.log_samples: no audio of {utterance.utterance_id} ({error})")
        return recordings


def evaluated_before(first_step: int, output_dir: Path) -> bool:
    """Whether a run that starts at `first_step` was evaluated earlier, and so has shown its recordings."""
    steps = (path.stem.removeprefix("step-") for path in (output_dir / "evaluations").glob("step-*.jsonl"))
    return any(step.isdigit() and int(step) < first_step for step in steps)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown that shows every cell as it is, whatever characters are in it."""
    lines = ["|".join(COLUMNS), "|".join("---" for _ in COLUMNS), *("|".join(map(_escaped, row)) for row in rows)]
    return "\n".join(f"|{line}|" for line in lines)


def _escaped(text: str) -> str:
    """Punctuation as character references: none of it means anything to Markdown or HTML then."""
    return _PUNCTUATION.sub(lambda match: f"&#{ord(match[0])};", " ".join(text.split()))
