"""The formats of annotation files by their suffixes, in the order in which one of several files is chosen.

What a person annotates goes before subtitles, which are cut for the screen, and these before what a program wrote.
"""

from collections.abc import Mapping

from accel_asr.data.reading.timed_texts.audacity_labels import is_audacity, read_audacity
from accel_asr.data.reading.timed_texts.elan_files import read_elan
from accel_asr.data.reading.timed_texts.praat_textgrids import read_textgrid
from accel_asr.data.reading.timed_texts.scoring_transcripts import is_ctm, is_stm, read_ctm, read_stm
from accel_asr.data.reading.timed_texts.subtitle_blocks import (
    has_arrow_lines,
    has_comma_lines,
    read_comma_times,
    read_srt,
    read_vtt,
)
from accel_asr.data.reading.timed_texts.subtitle_library import reader_of
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, AnnotationFormat
from accel_asr.data.reading.timed_texts.timit_files import is_timit_sentence, read_timit
from accel_asr.data.reading.timed_texts.whisper_outputs import (
    is_whisper_console,
    is_whisper_json,
    is_whisper_tsv,
    read_whisper_console,
    read_whisper_json,
    read_whisper_tsv,
)

_SUBSTATION = AnnotationFormat("SubStation Alpha", reader_of("ass"))
_SAMI = AnnotationFormat("SAMI", reader_of("sami"))
_WHISPER_CONSOLE = AnnotationFormat("Whisper's console output", read_whisper_console, is_whisper_console)
FORMATS: Mapping[str, tuple[AnnotationFormat, ...]] = {
    ".textgrid": (AnnotationFormat("Praat TextGrid", read_textgrid),),
    ".eaf": (AnnotationFormat("ELAN", read_elan, names_its_recording=True),),
    ".stm": (AnnotationFormat("STM", read_stm, is_stm, names_recordings=True),),
    ".ass": (_SUBSTATION,),
    ".ssa": (AnnotationFormat("SubStation Alpha", reader_of("ssa")),),
    ".srt": (AnnotationFormat("SubRip", read_srt),),
    ".vtt": (AnnotationFormat("WebVTT", read_vtt),),
    ".sbv": (AnnotationFormat("YouTube's .sbv", read_comma_times),),
    ".sub": (
        AnnotationFormat("SubViewer", read_comma_times, has_comma_lines),
        AnnotationFormat("SubRip", read_srt, has_arrow_lines),
        AnnotationFormat("MicroDVD", reader_of("microdvd")),
    ),
    ".smi": (_SAMI,),
    ".sami": (_SAMI,),
    ".mpl": (AnnotationFormat("MPL2", reader_of("mpl2")),),
    ".txt": (
        AnnotationFormat("Audacity's labels", read_audacity, is_audacity),
        AnnotationFormat("TIMIT", read_timit, is_timit_sentence),
        _WHISPER_CONSOLE,
        AnnotationFormat("SubRip", read_srt, has_arrow_lines),
    ),
    ".wrd": (AnnotationFormat("TIMIT's words", read_timit),),
    ".json": (AnnotationFormat("Whisper's .json", read_whisper_json, is_whisper_json),),
    ".tsv": (AnnotationFormat("Whisper's .tsv", read_whisper_tsv, is_whisper_tsv),),
    ".ctm": (AnnotationFormat("CTM", read_ctm, is_ctm, names_recordings=True),),
}
_ORDER = {suffix: place for place, suffix in enumerate(FORMATS)}


def format_of(file: AnnotationFile) -> AnnotationFormat | None:
    """The format of a file by its suffix, and by its content where that decides; None if it is no annotation.

    Raises:
        OSError, ValueError: it can't be read, and its suffix alone does not say.
    """
    for annotation_format in FORMATS.get(file.path.suffix.lower(), ()):
        if annotation_format.recognises is None or annotation_format.recognises(file):
            return annotation_format
    return None


def place_in_order(suffix: str) -> int:
    """Of several annotations of one recording, that with the lowest place is read."""
    return _ORDER[suffix.lower()]
