"""Formats that pysubs2 reads: SubStation Alpha, MicroDVD, SAMI and MPL2."""

import re
from collections.abc import Callable

from accel_asr.data.reading.timed_texts.cue_markup import plain_text
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue
from accel_asr.errors import UserError

_WITHOUT_ENDS = ("sami",)  # pysubs2 guesses its ends by the length of the text


def has_lines_in(opening: str, closing: str) -> Callable[[AnnotationFile], bool]:
    """Tells whether every line of a file begins with two numbers in such brackets, of MicroDVD or MPL2."""
    begin, end = re.escape(opening), re.escape(closing)
    numbers = re.compile(rf"\s*{begin}\d+{end}{begin}\d*{end}")

    def is_it(file: AnnotationFile) -> bool:
        lines = [line for line in file.text.split("\n") if line.strip()]
        return bool(lines) and all(map(numbers.match, lines))

    return is_it


def reader_of(format_name: str) -> Callable[[AnnotationFile], list[TimedCue]]:
    """A reader of one of pysubs2's formats, by pysubs2's name for it."""

    def read(file: AnnotationFile) -> list[TimedCue]:
        pysubs2 = _pysubs2(file)
        try:
            subtitles = pysubs2.SSAFile.from_string(file.text, format_=format_name)
        except pysubs2.UnknownFPSError as error:
            raise ValueError(
                "it counts frames and does not say how many a second; let its first line be {1}{1}25 for 25"
            ) from error
        except (pysubs2.Pysubs2Error, ValueError, LookupError, ArithmeticError) as error:
            raise ValueError(str(error) or type(error).__name__) from error
        ends_known = format_name not in _WITHOUT_ENDS
        return [
            TimedCue(
                event.start / 1000,
                event.end / 1000 if ends_known else None,
                plain_text(event.plaintext),
                event.name.strip() or None,
            )
            for event in subtitles
            if event.is_text
        ]

    return read


def _pysubs2(file: AnnotationFile):  # type: ignore[no-untyped-def]  # a module
    try:
        import pysubs2
    except ImportError:
        raise UserError(
            "is read by pysubs2, which is not installed",
            setting="--data.name_or_path",
            value=file.path,
            remedy="pip install 'accel-asr[subtitles]'",
        ) from None
    return pysubs2
