"""The options of `accel-asr transcribe --format manifest`: which rows are good enough to train on."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from accel_asr.audio.decoding import AudioError
from accel_asr.commands.option_types import probability, threshold
from accel_asr.console.printing import counted, say
from accel_asr.errors import UserError, setting_shown_as
from accel_asr.model.folder.examination import refuse_unfit_folder
from accel_asr.quickstart import model_source

if TYPE_CHECKING:
    from accel_asr.transcription.inputs import Recording
    from accel_asr.transcription.pseudo_labels import PseudoLabels
    from accel_asr.transcription.segments import TimedText
    from accel_asr.transcription.transcriber import Transcriber

MANIFEST = "manifest"
MANIFEST_FILES = ("manifest.jsonl", "left_out.jsonl")
_FILTERS = ("agree_with", "max_disagreement", "max_no_speech_prob", "max_compression_ratio", "min_avg_logprob")
# options that change what is written; models are compared by their weights
_OF_TRANSCRIPTS = (
    *("language", "task", "num_beams", "audio_context", "initial_prompt", "keywords", "vad", "temperature"),
    *("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold", "condition_on_prev_tokens"),
)


def add_manifest_options(parser: argparse.ArgumentParser) -> None:
    """Add them; those that are not given are not in the namespace."""
    group = parser.add_argument_group(
        "--format manifest",
        "Rows of at most a window to train on, with scores: manifest.jsonl in --output_dir. Rows that fail are in "
        "left_out.jsonl beside it, with the reason. `none` switches a filter off. The same call after one that was "
        "stopped goes on from there.",
        argument_default=argparse.SUPPRESS,
    )
    group.add_argument(
        "--agree_with", metavar="MODEL", help="a second model, which transcribes each row too: folder or Hub name"
    )
    group.add_argument(
        "--max_disagreement",
        type=threshold,
        metavar="WER",
        help="highest word error rate of the second model's text against the first's (default 0.3)",
    )
    group.add_argument(
        "--max_no_speech_prob",
        type=probability,
        metavar="P",
        help="highest probability that nobody speaks (default 0.6)",
    )
    group.add_argument(
        "--max_compression_ratio",
        type=threshold,
        metavar="RATIO",
        help="highest ratio by which zlib shrinks the text (default 2.4)",
    )
    group.add_argument(
        "--min_avg_logprob",
        type=threshold,
        metavar="NATS",
        help="lowest mean log-probability of the text's tokens (default -1)",
    )


def manifest_problems(options: argparse.Namespace) -> Iterator[UserError]:
    """What can't work: an option without its counterpart, or input that no manifest can name."""
    if MANIFEST not in options.format:
        remedy = "add --format manifest, or leave it out"
        for name in _FILTERS:
            if name in options:
                yield UserError("is for --format manifest only", setting=f"--{name}", remedy=remedy)
        return
    if len(options.format) > 1:
        remedy = "give manifest alone"
        yield UserError("a manifest comes by itself", setting="--format", value=",".join(options.format), remedy=remedy)
    if options.output_dir is None:
        remedy = "give the folder that manifest.jsonl is written to"
        yield UserError("is not set, and --format manifest needs it", setting="--output_dir", remedy=remedy)
    if "-" in options.inputs:
        yield UserError("stdin has no name for a manifest", setting="FILE", value="-", remedy="save it as a file first")
    if "max_disagreement" in options and "agree_with" not in options:
        remedy = "give a second model, such as a smaller one"
        yield UserError("is not set, and --max_disagreement needs it", setting="--agree_with", remedy=remedy)
    if "agree_with" not in options:
        return
    if options.agree_with == options.model:
        problem = "is what --model names too, and agrees with itself"
        yield UserError(problem, setting="--agree_with", value=options.agree_with, remedy="give another model")
    try:
        refuse_unfit_folder(model_source(options.agree_with), name=options.agree_with, setting="--agree_with")
    except UserError as error:
        yield from error.errors


class ToManifest:
    """An output of `transcribe`: rows of all recordings in one file, and what is left out in another.

    Args:
        recordings: All; `pending` are those that a stopped call has not transcribed yet.
    """

    def __init__(self, recordings: "Sequence[Recording]", files: Sequence[Path], labels: "PseudoLabels") -> None:
        self.recordings, self.files, self.labels = recordings, files, labels
        self.pending = labels.pending(recordings)
        if done := len(recordings) - len(self.pending):
            note = f"{done:,} of {counted(len(recordings), 'recording')} done before, by a call that was stopped"
            say(f"note: {note}", to_stderr=True)

    def write(self, index: int, spoken: "TimedText") -> None:
        """Score the rows of the recording with that number of `pending`; they are written last.

        Raises:
            UserError: the recording can't be read a second time.
        """
        try:
            self.labels.add(self.pending[index], spoken)
        except AudioError as error:
            raise UserError(f"it changed while it was transcribed: {error}", setting="FILE") from error

    def finish(self, *, failed: int) -> None:
        """Write both files."""
        manifest, left_out = self.files
        counts = self.labels.write(manifest, left_out, self.recordings)
        say(f"{counts}; {counted(failed, 'recording')} failed" if failed else counts, to_stderr=True)


def load_pseudo_labels(options: argparse.Namespace, teacher: "Transcriber") -> "PseudoLabels":
    """What collects the rows, with the second model if one is wanted.

    Raises:
        UserError: the second model can't be loaded, does not know the language, or has a shorter window; or a stopped
            call left rows that were made otherwise.
    """
    from accel_asr.transcription.manifest_rows import RowFilters
    from accel_asr.transcription.pseudo_labels import PseudoLabels
    from accel_asr.transcription.transcriber_loading import load_transcriber, weights_and_settings_hash
    from accel_asr.transcription.unfinished_rows import UnfinishedRows

    second = None
    if "agree_with" in options:
        with setting_shown_as("--agree_with", setting="--model.name_or_path"):
            second = load_transcriber(
                options.agree_with,
                device=options.device,
                language=options.language,
                task=options.task,
                num_beams=options.num_beams,
                audio_context=options.audio_context,
            )
        if second.window_s < teacher.window_s:
            raise UserError(
                f"its window of {second.window_s:g} s is shorter than that of --model, {teacher.window_s:g} s",
                setting="--agree_with",
                value=options.agree_with,
                remedy="give a model with the same window",
            )
    limits = {field.name: vars(options)[field.name] for field in fields(RowFilters) if field.name in options}
    made_by = {
        "--model": weights_and_settings_hash(teacher),
        "--agree_with": None if second is None else weights_and_settings_hash(second),
        **{f"--{name}": vars(options)[name] for name in _OF_TRANSCRIPTS},
    }
    return PseudoLabels(
        options.output_dir,
        teacher=teacher,
        second=second,
        filters=RowFilters(**limits),
        batch_size=options.batch_size,
        unfinished=UnfinishedRows(options.output_dir, made_by, overwrite=options.overwrite),
    )
