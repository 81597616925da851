"""`accel-asr transcribe --model FOLDER_OR_NAME FILE...`: write down what is said in recordings of any length."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accel_asr.commands.manifest_options import MANIFEST, MANIFEST_FILES, ToManifest, load_pseudo_labels
from accel_asr.commands.transcribe_options import TO_FILES, check_options, fallback_of, needs_words, parser_of_options
from accel_asr.commands.transcript_outputs import (
    ToFiles,
    ToStandardOutput,
    TranscriptOutput,
    make_room,
)
from accel_asr.console.printing import say, standard_output
from accel_asr.console.public_text import visible
from accel_asr.errors import UserError, setting_shown_as
from accel_asr.model.folder.examination import refuse_unfit_folder
from accel_asr.quickstart import model_source
from accel_asr.transcription.cues import LineLimits
from accel_asr.transcription.formats import OF_ONE_RECORDING, Style

if TYPE_CHECKING:
    from accel_asr.transcription.inputs import Recording
    from accel_asr.transcription.transcriber import Transcriber

LINES_OF_CUE = 2


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    return parser_of_options(__doc__)


def main(arguments: list[str]) -> int:
    """Transcribe each recording. A bad one is reported on stderr; the exit code is then 1, after the others are done.

    Raises:
        UserError: an input is not there, output would be overwritten, the model can't be loaded, or does not know the
            language.
    """
    options = build_parser().parse_args(arguments)
    from accel_asr.transcription.inputs import find_recordings

    refuse_unfit_folder(model_source(options.model), name=options.model, setting="--model")
    check_options(options)
    recordings, notes = find_recordings(options.inputs)
    files = _files(options, recordings)
    for note in notes:
        say(f"note: {visible(note)}", to_stderr=True)

    from accel_asr.transcription.transcriber_loading import load_transcriber

    with setting_shown_as("--model", setting="--model.name_or_path"):
        transcriber = load_transcriber(
            options.model,
            revision=options.revision,
            device=options.device,
            language=options.language,
            task=options.task,
            num_beams=options.num_beams,
            fallback=fallback_of(options),
            audio_context=options.audio_context,
            initial_prompt=options.initial_prompt,
            keywords=options.keywords.split(",") if options.keywords else (),
            word_timestamps=needs_words(options),
            vad=options.vad,
        )
    if cut := transcriber.note_on_prompt():
        say(f"note: {cut}", to_stderr=True)
    if MANIFEST in options.format:
        labelling = ToManifest(recordings, files[MANIFEST], load_pseudo_labels(options, transcriber))
        output: TranscriptOutput = labelling
        recordings = labelling.pending
    else:
        output = _output(options, recordings, files)
    is_timed = not set(options.format) <= {"txt", MANIFEST}
    return _transcribe_all(transcriber, recordings, output, batch_size=options.batch_size, timed=is_timed)


def _files(options: argparse.Namespace, recordings: "Sequence[Recording]") -> dict[str, list[Path]]:
    """The files of each format, for which room is made; none where all goes to standard output.

    Raises:
        UserError: they are there already, can't be written, or standard output can't take the transcripts.
    """
    from accel_asr.transcription.inputs import output_names

    folder: Path | None = options.output_dir
    if folder is not None:
        names = {name: output_names(recordings, suffix=f".{name}") for name in options.format}
        if MANIFEST in names:
            names[MANIFEST] = [Path(name) for name in MANIFEST_FILES]
        files = {name: [folder / path for path in paths] for name, paths in names.items()}
        make_room(folder, [path for paths in files.values() for path in paths], overwrite=options.overwrite)
        return files
    if standard_output().failure is not None:
        raise UserError("standard output, which would get the transcripts, is closed", remedy=TO_FILES)
    (output_format,) = options.format
    if output_format in OF_ONE_RECORDING and len(recordings) > 1:
        raise UserError(
            f"{len(recordings):,} recordings make no valid {output_format} on stdout",
            setting="--format",
            value=output_format,
            remedy=TO_FILES,
        )
    return {}


def _output(
    options: argparse.Namespace, recordings: "Sequence[Recording]", files: dict[str, list[Path]]
) -> TranscriptOutput:
    width = options.max_line_width
    limits = None if width is None else LineLimits(width, options.max_line_count or LINES_OF_CUE)
    style = Style(limits, with_words=options.word_timestamps)
    if files:
        return ToFiles(recordings, files, style=style)
    return ToStandardOutput(recordings, output_format=options.format[0], style=style)


def _transcribe_all(
    transcriber: "Transcriber",
    recordings: "Sequence[Recording]",
    output: TranscriptOutput,
    *,
    batch_size: int,
    timed: bool,
) -> int:
    """Transcribe and write in the given order, each as soon as it is ready; returns the exit code."""
    from accel_asr.console.bars import progress_bar
    from accel_asr.transcription.outcomes import outcomes

    failed = 0
    with progress_bar(len(recordings), desc="transcribe", unit="files", result_on_stdout=True) as bar:
        for index, outcome in outcomes(
            transcriber, recordings, batch_size=batch_size, timed=timed, on_progress=bar.set_postfix_str
        ):
            name = visible(recordings[index].name)
            bar.update()
            bar.clear()  # the next line is printed in its place
            if isinstance(outcome, str):
                say(f"error: {name}: {visible(outcome)}", to_stderr=True)
                failed += 1
                continue
            for note in transcriber.notes(outcome):
                say(f"note: {name}: {note}", to_stderr=True)
            try:
                output.write(index, outcome)
            except BrokenPipeError:  # the reader of stdout, such as `head`, has seen enough
                return 1
    output.finish(failed=failed)
    return 1 if failed else 0
