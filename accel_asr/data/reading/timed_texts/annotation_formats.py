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
    read_arrow_times,
    read_comma_times,
)
from accel_asr.data.reading.timed_texts.subtitle_demuxers import demuxer_of, has_line_of
from accel_asr.data.reading.timed_texts.subtitle_library import has_lines_in, reader_of
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, AnnotationFormat
from accel_asr.data.reading.timed_texts.timed_json import is_json_of_segments, read_json_of_segments
from accel_asr.data.reading.timed_texts.timed_lines import (
    is_bare_stamped,
    is_console_output,
    is_stamped,
    read_bare_stamped,
    read_console_output,
    read_lyrics,
)
from accel_asr.data.reading.timed_texts.timed_tables import is_table_of, reader_of_table
from accel_asr.data.reading.timed_texts.timed_xml import is_timed_xml, read_timed_xml
from accel_asr.data.reading.timed_texts.timit_files import is_timit_sentence, read_timit

_SUBRIP = AnnotationFormat("SubRip", read_arrow_times)
_SUBRIP_BY_CONTENT = AnnotationFormat("SubRip", read_arrow_times, has_arrow_lines)
_SUBVIEWER = AnnotationFormat("SubViewer", read_comma_times, has_comma_lines)
_SUBSTATION = AnnotationFormat("SubStation Alpha", reader_of("ass"))
_SAMI = AnnotationFormat("SAMI", reader_of("sami"))
_MICRODVD = AnnotationFormat("MicroDVD", reader_of("microdvd"), has_lines_in("{", "}"))
_MPL2 = AnnotationFormat("MPL2", reader_of("mpl2"), has_lines_in("[", "]"))
_TMPLAYER = AnnotationFormat("TMPlayer", read_bare_stamped, is_bare_stamped)
_LYRICS = AnnotationFormat("lyrics", read_lyrics)
_TTML = AnnotationFormat("TTML", read_timed_xml)
_XML_BY_CONTENT = AnnotationFormat("subtitles in XML", read_timed_xml, is_timed_xml)
FORMATS: Mapping[str, tuple[AnnotationFormat, ...]] = {
    ".textgrid": (AnnotationFormat("Praat TextGrid", read_textgrid),),
    ".eaf": (AnnotationFormat("ELAN", read_elan, names_its_recording=True),),
    ".stm": (AnnotationFormat("STM", read_stm, is_stm, names_recordings=True),),
    ".ass": (_SUBSTATION,),
    ".ssa": (AnnotationFormat("SubStation Alpha", reader_of("ssa")),),
    ".srt": (_SUBRIP,),
    ".vtt": (AnnotationFormat("WebVTT", read_arrow_times),),
    ".sbv": (AnnotationFormat("YouTube's .sbv", read_comma_times),),
    ".ttml": (_TTML,),
    ".dfxp": (_TTML,),
    ".itt": (_TTML,),
    ".usf": (AnnotationFormat("USF", read_timed_xml),),
    ".ttxt": (AnnotationFormat("GPAC's .ttxt", read_timed_xml),),
    ".xml": (_XML_BY_CONTENT,),
    ".sub": (
        _SUBVIEWER,
        _SUBRIP_BY_CONTENT,
        _MICRODVD,
        _MPL2,
        AnnotationFormat("SubViewer 1", demuxer_of("subviewer1"), has_line_of("[BEGIN]")),
        AnnotationFormat("MPlayer's .sub", demuxer_of("mpsub"), has_line_of("FORMAT=TIME")),
        _TMPLAYER,
    ),
    ".smi": (_SAMI,),
    ".sami": (_SAMI,),
    ".scc": (AnnotationFormat("Scenarist's captions", demuxer_of("scc")),),
    ".stl": (AnnotationFormat("Spruce's .stl", demuxer_of("stl")),),
    ".rt": (AnnotationFormat("RealText", demuxer_of("realtext")),),
    ".pjs": (AnnotationFormat("Phoenix Japanimation", demuxer_of("pjs")),),
    ".aqt": (AnnotationFormat("AQTitle", demuxer_of("aqtitle")),),
    ".jss": (AnnotationFormat("JACOsub", demuxer_of("jacosub")),),
    ".mpsub": (AnnotationFormat("MPlayer's .sub", demuxer_of("mpsub")),),
    ".mpl": (AnnotationFormat("MPL2", reader_of("mpl2")),),
    ".mpl2": (AnnotationFormat("MPL2", reader_of("mpl2")),),
    ".tmp": (_TMPLAYER,),
    ".lrc": (_LYRICS,),
    ".txt": (
        AnnotationFormat("Audacity's labels", read_audacity, is_audacity),
        AnnotationFormat("TIMIT", read_timit, is_timit_sentence),
        AnnotationFormat("Whisper's console output", read_console_output, is_console_output),
        AnnotationFormat("lines with times", read_lyrics, is_stamped),
        _MICRODVD,
        _MPL2,
        _TMPLAYER,
        _SUBRIP_BY_CONTENT,
        _SUBVIEWER,
    ),
    ".wrd": (AnnotationFormat("TIMIT's words", read_timit),),
    ".json": (AnnotationFormat("Whisper's .json", read_json_of_segments, is_json_of_segments),),
    ".json3": (AnnotationFormat("YouTube's json3", read_json_of_segments, is_json_of_segments),),
    ".srv1": (_XML_BY_CONTENT,),
    ".srv2": (_XML_BY_CONTENT,),
    ".srv3": (_XML_BY_CONTENT,),
    ".tsv": (AnnotationFormat("Whisper's .tsv", reader_of_table("\t"), is_table_of("\t")),),
    ".csv": (AnnotationFormat("whisper.cpp's .csv", reader_of_table(","), is_table_of(",")),),
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
