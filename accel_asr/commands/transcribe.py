"""`accel-asr transcribe --model FOLDER_OR_NAME FILE...`: write down what is said in recordings of any length."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accel_asr.commands.option_types import at_least_one, probability, temperatures, threshold
from accel_asr.config.fallback_settings import Fallback
from accel_asr.console.printing import OptionParser, json_to_print, print_result, say, standard_output
from accel_asr.console.public_text import visible
from accel_asr.errors import UserError, setting_shown_as
from accel_asr.files.atomic_writes import write_errors_explained, write_text
from accel_asr.model.folder.examination import refuse_unfit_folder
from accel_asr.quickstart import model_source

if TYPE_CHECKING:
    from accel_asr.transcription.inputs import Recording
    from accel_asr.transcription.transcriber import Transcriber

FORMAT_NAMES = ("txt", "text", "json", "srt", "vtt")  # text: what txt was called first
SUBTITLES = ("srt", "vtt")
SHOWN_FILES = 5
TO_FILES = "give --output_dir FOLDER, for one UTF-8 file each"


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = OptionParser(prog="accel-asr transcribe", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="FILE",
        help="audio files, folders of them (searched recursively), globs in quotes, or - for audio on stdin",
    )
    parser.add_argument(
        "--model",
        required=True,
        help="folder of a model or an adapter, such as runs/quickstart/best, a name on the Hub, or quickstart: the "
        "base model inside",
    )
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    parser.add_argument(
        "--language", help="language spoken, code or name; default is what the model was tuned for, else detected"
    )
    parser.add_argument("--task", choices=("transcribe", "translate"), help="translate: write English")
    parser.add_argument(
        "--format", choices=FORMAT_NAMES, default="txt", help="what to write (default txt); json is one object per line"
    )
    parser.add_argument("--output_dir", type=Path, metavar="FOLDER", help="write one file for each recording into it")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are in --output_dir already")
    parser.add_argument(
        "--batch_size", type=at_least_one, default=16, help="short recordings transcribed at once (default 16)"
    )
    parser.add_argument(
        "--num_beams", type=at_least_one, help="beams of the beam search; default is the model's own setting"
    )
    parser.add_argument(
        "--audio_context",
        choices=("full", "merged"),
        default="full",
        help="merged: merge the padding of short recordings, which is faster and now and then another word "
        "(default full)",
    )
    fallback = parser.add_argument_group(
        "recordings longer than the window",
        "While the transcript of a window repeats itself or is improbable, the window is decoded again at the next "
        "temperature, as Whisper does.",
    )
    fallback.add_argument(
        "--temperature",
        type=temperatures,
        default=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        metavar="T,T...",
        help="temperatures to try in this order (default 0,0.2,0.4,0.6,0.8,1); 0 alone never decodes again",
    )
    fallback.add_argument(
        "--compression_ratio_threshold",
        type=threshold,
        default=1.35,
        help="repeats itself: zlib shrinks its token ids by more than this (default 1.35; none switches it off)",
    )
    fallback.add_argument(
        "--logprob_threshold",
        type=threshold,
        default=-1.0,
        help="improbable: the mean log-probability of its tokens is below this (default -1; none switches it off)",
    )
    fallback.add_argument(
        "--no_speech_threshold",
        type=probability,
        default=0.6,
        help="an improbable transcript is dropped if silence is likelier than this (default 0.6; none switches it off)",
    )
    fallback.add_argument(
        "--condition_on_prev_tokens",
        choices=("true", "false"),
        default="true",
        help="give the text of the previous window to the decoder (default true)",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps ...; default is an accelerator if there is one")
    return parser


def main(arguments: list[str]) -> int:
    """Transcribe each recording. A bad one is reported on stderr; the exit code is then 1, after the others are done.

    Raises:
        UserError: an input is not there, output would be overwritten, the model can't be loaded, or does not know the
            language.
    """
    options = build_parser().parse_args(arguments)
    output_format = "txt" if options.format == "text" else options.format
    from accel_asr.transcription.inputs import find_recordings, output_names

    refuse_unfit_folder(model_source(options.model), name=options.model, setting="--model")
    recordings, notes = find_recordings(options.inputs)
    files: list[Path] | None = None
    if options.output_dir is not None:
        names = output_names(recordings, suffix=f".{output_format}")
        files = [options.output_dir / name for name in names]
        _make_room(options.output_dir, files, overwrite=options.overwrite)
    elif standard_output().failure is not None:
        raise UserError("standard output, which would get the transcripts, is closed", remedy=TO_FILES)
    elif output_format in SUBTITLES and len(recordings) > 1:
        raise UserError(
            f"{len(recordings):,} recordings make no valid {output_format} on stdout",
            setting="--format",
            value=output_format,
            remedy=TO_FILES,
        )
    for note in notes:
        say(f"note: {visible(note)}", to_stderr=True)

    from accel_asr.transcription.transcriber import load_transcriber

    fallback = Fallback(
        temperature=options.temperature,
        compression_ratio_threshold=options.compression_ratio_threshold,
        logprob_threshold=options.logprob_threshold,
        condition_on_prev_tokens=options.condition_on_prev_tokens == "true",
        no_speech_threshold=options.no_speech_threshold if options.logprob_threshold is not None else None,
    )
    with setting_shown_as("--model", setting="--model.name_or_path"):
        transcriber = load_transcriber(
            options.model,
            revision=options.revision,
            device=options.device,
            language=options.language,
            task=options.task,
            num_beams=options.num_beams,
            fallback=fallback,
            audio_context=options.audio_context,
        )
    return _transcribe_all(
        transcriber, recordings, files=files, output_format=output_format, batch_size=options.batch_size
    )


def _transcribe_all(
    transcriber: "Transcriber",
    recordings: "Sequence[Recording]",
    *,
    files: Sequence[Path] | None,
    output_format: str,
    batch_size: int,
) -> int:
    """Transcribe and write in the given order, each as soon as it is ready; returns the exit code."""
    from accel_asr.console.bars import progress_bar
    from accel_asr.transcription.formats import as_object, rendered
    from accel_asr.transcription.outcomes import outcomes

    failed = 0
    has_noted = False
    is_one_of_many = output_format == "txt" and len(recordings) > 1
    with progress_bar(len(recordings), desc="transcribe", unit="files", result_on_stdout=True) as bar:
        for index, outcome in outcomes(
            transcriber,
            recordings,
            batch_size=batch_size,
            timed=output_format != "txt",
            on_progress=bar.set_postfix_str,
        ):
            recording = recordings[index]
            bar.update()
            bar.clear()  # the next line is printed in its place
            if isinstance(outcome, str):
                say(f"error: {visible(recording.name)}: {visible(outcome)}", to_stderr=True)
                failed += 1
                continue
            if doubt := transcriber.doubt(outcome):
                say(f"note: {visible(recording.name)}: {doubt}", to_stderr=True)
            if files is not None:
                text = rendered(outcome, output_format=output_format, name=recording.name, indent=2)
                with write_errors_explained(files[index], setting="--output_dir"):
                    write_text(files[index], text + "\n")
                continue
            if output_format == "json":
                content = json_to_print(as_object(outcome, name=recording.name))
            else:
                content = rendered(outcome, output_format=output_format, name=recording.name)
            if not has_noted and not standard_output().can_show(content):
                has_noted = True
                say(f"note: {_lossy(standard_output().encoding)}", to_stderr=True)
            try:
                print_result(f"{visible(recording.name)}: {content}" if is_one_of_many else content)
            except BrokenPipeError:  # the reader of stdout, such as `head`, has seen enough
                return 1
            except OSError as error:
                raise UserError(f"standard output can't be written ({error.strerror})", remedy=TO_FILES) from error
    if files is not None:
        done = len(recordings) - failed
        what = f"{done:,} of {len(recordings):,} recordings" if failed else f"{done:,} recording{'s' * (done != 1)}"
        into = os.path.commonpath([file.parent for file in files])
        say(f"transcribed {what} into {into}", to_stderr=True)
    return 1 if failed else 0


def _lossy(encoding: str) -> str:
    """What happens to letters that standard output can't hold."""
    return (
        f"standard output is {encoding}, which lacks letters of the transcripts: they are written as their numbers, "
        f"such as \\u0142; set PYTHONIOENCODING=utf-8, or {TO_FILES}"
    )


def _make_room(folder: Path, files: Sequence[Path], *, overwrite: bool) -> None:
    """Make the output folder, before anything takes time.

    Raises:
        UserError: it can't be made, or holds one of the files.
    """
    there = [file.name for file in files if file.exists()]
    if there and not overwrite:
        more = f" and {len(there) - SHOWN_FILES:,} more" if len(there) > SHOWN_FILES else ""
        raise UserError(
            f"already holds {', '.join(there[:SHOWN_FILES])}{more}",
            setting="--output_dir",
            value=folder,
            remedy="give another folder, or --overwrite to replace",
        )
    with write_errors_explained(folder, setting="--output_dir"):
        folder.mkdir(parents=True, exist_ok=True)
