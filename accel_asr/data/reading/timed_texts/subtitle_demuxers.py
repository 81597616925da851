"""Older formats of subtitles that FFmpeg reads, through PyAV: Scenarist's captions, Spruce's .stl and others."""

import io
from collections.abc import Callable

from accel_asr.data.reading.timed_texts.cue_markup import plain_text
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue
from accel_asr.errors import UserError

_FOREVER_MS = 2**31  # an end that FFmpeg does not know is beyond it


def has_line_of(mark: str) -> Callable[[AnnotationFile], bool]:
    """Tells whether a line of a file is this mark of its format."""
    return lambda file: any(line.strip().upper() == mark for line in file.text.split("\n"))


def demuxer_of(format_name: str) -> Callable[[AnnotationFile], list[TimedCue]]:
    """A reader of one of FFmpeg's formats, by FFmpeg's name for it."""

    def read(file: AnnotationFile) -> list[TimedCue]:
        try:
            import av
        except ImportError:
            raise UserError(
                "is read by PyAV, which is not installed",
                setting="--data.name_or_path",
                value=file.path,
                remedy="pip install 'accel-asr[audio]'",
            ) from None
        cues = []
        try:
            with av.open(io.BytesIO(file.text.encode()), format=format_name) as container:
                stream = container.streams.subtitles[0]
                for packet in container.demux(stream):
                    shown = stream.codec_context.decode2(packet)
                    if shown is None or shown.pts is None:
                        continue
                    start_s = (shown.pts / 1000 + shown.start_display_time) / 1000
                    lasts_s = (shown.end_display_time - shown.start_display_time) / 1000
                    end_s = start_s + lasts_s if 0 < lasts_s * 1000 < _FOREVER_MS else None
                    text = "\n".join(part.dialogue.decode(errors="replace") for part in shown)
                    cues.append(TimedCue(start_s, end_s, plain_text(text)))
        except (av.FFmpegError, IndexError) as error:
            raise ValueError(str(error) or type(error).__name__) from error
        return cues

    return read
