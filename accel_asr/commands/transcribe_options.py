"""The options of `accel-asr transcribe`, and what of them can't work together."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from accel_asr.commands.manifest_options import MANIFEST, add_manifest_options, manifest_problems
from accel_asr.commands.option_types import at_least_one, probability, temperatures, threshold, words
from accel_asr.config.fallback_settings import WHISPERS_FALLBACK, Fallback
from accel_asr.console.printing import OptionParser
from accel_asr.errors import UserError, raise_all
from accel_asr.transcription.formats import FORMATS, SUBTITLES
from accel_asr.transcription.voice_activity import FINDERS

WITH_WORDS = ("json", *SUBTITLES, "tsv", "ctm")
TO_FILES = "give --output_dir FOLDER, for one UTF-8 file each"


def parser_of_options(description: str | None) -> argparse.ArgumentParser:
    """The command's options."""
    parser = OptionParser(prog="accel-asr transcribe", description=description, allow_abbrev=False)
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
        "--batch_size",
        type=at_least_one,
        default=16,
        help="recordings transcribed at once (default 16); on a CPU at most 4 that are longer than the window",
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
    parser.add_argument(
        "--initial_prompt",
        type=words,
        metavar="TEXT",
        help="text that the decoder takes for what was said before the recording: names, style, punctuation",
    )
    parser.add_argument(
        "--keywords",
        type=words,
        metavar="FILE|WORD,WORD",
        help="words and phrases to have in mind in every window; a name that ends in .txt is a file with one on each "
        "line",
    )
    parser.add_argument(
        "--vad",
        choices=FINDERS,
        default="none",
        help="skip what is not speech, where it lasts 2 s or longer: energy leaves out what is quiet; silero asks a "
        "network (needs pip install 'accel-asr[export]'); default none",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps ...; default is an accelerator if there is one")
    _add_output_options(parser)
    _add_window_options(parser)
    add_manifest_options(parser)
    return parser


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is written, and where")
    group.add_argument(
        "--format",
        type=_formats,
        default=("txt",),
        metavar="FORMAT,FORMAT...",
        help=f"any of {', '.join(FORMATS)}, or all of them: all (default txt); json is one object per line. Or "
        "manifest: rows to train on",
    )
    group.add_argument("--output_dir", type=Path, metavar="FOLDER", help="write a file for each recording into it")
    group.add_argument("--overwrite", action="store_true", help="replace files that are in --output_dir already")
    group.add_argument(
        "--word_timestamps",
        action="store_true",
        help="times of words: in json, as karaoke in vtt, and segments begin and end with their words; ctm has them "
        "always",
    )
    group.add_argument(
        "--max_line_width",
        type=at_least_one,
        metavar="COLUMNS",
        help="longest line of srt and vtt, such as 42; a Chinese character has 2 columns. Segments are cut into cues "
        "at the times of their words",
    )
    group.add_argument(
        "--max_line_count", type=at_least_one, metavar="LINES", help="lines of a cue with --max_line_width (default 2)"
    )


def _add_window_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "recordings longer than the window",
        "While the transcript of a window repeats itself or is improbable, the window is decoded again at the next "
        "temperature, as Whisper does.",
    )
    group.add_argument(
        "--temperature",
        type=temperatures,
        default=WHISPERS_FALLBACK.temperature,
        metavar="T,T...",
        help="temperatures to try in this order (default 0,0.2,0.4,0.6,0.8,1); 0 alone never decodes again",
    )
    group.add_argument(
        "--compression_ratio_threshold",
        type=threshold,
        default=WHISPERS_FALLBACK.compression_ratio_threshold,
        help="repeats itself: zlib shrinks its token ids by more than this (default 1.35; none switches it off)",
    )
    group.add_argument(
        "--logprob_threshold",
        type=threshold,
        default=WHISPERS_FALLBACK.logprob_threshold,
        help="improbable: the mean log-probability of its tokens is below this (default -1; none switches it off)",
    )
    group.add_argument(
        "--no_speech_threshold",
        type=probability,
        default=WHISPERS_FALLBACK.no_speech_threshold,
        help="an improbable transcript is dropped if silence is likelier than this (default 0.6; none switches it off)",
    )
    group.add_argument(
        "--condition_on_prev_tokens",
        choices=("true", "false"),
        default="true",
        help="give the text of the previous window to the decoder (default true)",
    )


def check_options(options: argparse.Namespace) -> None:
    """Refuse what can't work together, or would change nothing.

    Raises:
        UserError: all of it at once.
    """
    raise_all([*_problems(options)])


def _problems(options: argparse.Namespace) -> Iterator[UserError]:
    formats = options.format
    yield from manifest_problems(options)
    if len(formats) > 1 and options.output_dir is None:
        problem = "standard output takes one format"
        yield UserError(problem, setting="--format", value=",".join(formats), remedy=TO_FILES)
    if options.max_line_width is not None and not set(formats) & set(SUBTITLES):
        yield UserError(
            "is for subtitles only",
            setting="--max_line_width",
            value=options.max_line_width,
            remedy="add --format srt or vtt",
        )
    if options.max_line_count is not None and options.max_line_width is None:
        yield UserError(
            "needs the width of a line",
            setting="--max_line_count",
            value=options.max_line_count,
            remedy="add --max_line_width 42",
        )
    if options.word_timestamps and not set(formats) & set(WITH_WORDS):
        yield UserError(
            f"{','.join(formats)} has no times",
            setting="--word_timestamps",
            remedy="add --format json, srt, vtt or ctm",
        )


def needs_words(options: argparse.Namespace) -> bool:
    """Whether anything that is written needs the times of words."""
    return bool(options.word_timestamps or options.max_line_width is not None or "ctm" in options.format)


def fallback_of(options: argparse.Namespace) -> Fallback:
    """How windows are decoded again."""
    return Fallback(
        temperature=options.temperature,
        compression_ratio_threshold=options.compression_ratio_threshold,
        logprob_threshold=options.logprob_threshold,
        condition_on_prev_tokens=options.condition_on_prev_tokens == "true",
        no_speech_threshold=options.no_speech_threshold if options.logprob_threshold is not None else None,
    )


def _formats(text: str) -> tuple[str, ...]:
    """`srt,vtt`, each once."""
    names: dict[str, None] = {}
    for name in text.lower().split(","):
        known = {"text": ["txt"], "all": FORMATS}.get(name.strip(), [name.strip()])  # text: what txt was called first
        if unknown := [given for given in known if given not in (*FORMATS, MANIFEST)]:
            some = ", ".join(FORMATS)
            raise argparse.ArgumentTypeError(f"{unknown[0]!a} is no format; give some of {some}, all, or {MANIFEST}")
        names |= dict.fromkeys(known)
    return tuple(names)
