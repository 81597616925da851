"""Reading one annotation file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from accel_asr.data.reading.timed_texts.annotation_formats import format_of
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile

PlainCue = tuple[float, float | None, str, str | None]


@pytest.fixture
def cues(tmp_path: Path) -> Callable[[str, str | bytes], list[PlainCue] | None]:
    """(start, end, text on one line, speaker) of the cues of a file of this name; None if it is no annotation."""

    def read(name: str, content: str | bytes) -> list[PlainCue] | None:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        file = AnnotationFile(path)
        annotation_format = format_of(file)
        if annotation_format is None:
            return None
        read_cues = annotation_format.read(file)
        return [(cue.start_s, cue.end_s, " ".join(cue.text.split()), cue.speaker) for cue in read_cues]

    return read
