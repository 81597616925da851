"""STM and CTM as NIST's scorer reads them."""

from pathlib import Path

import pytest

from accel_asr.data.reading.timed_texts.scoring_transcripts import is_ctm, is_stm, read_ctm, read_stm
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue


def file_of(folder: Path, content: str) -> AnnotationFile:
    path = folder / "a.stm"
    path.write_text(content, encoding="utf-8")
    return AnnotationFile(path)


def test_stm(tmp_path: Path) -> None:
    file = file_of(
        tmp_path,
        ';; LABEL "o" "Overall" "all"\n'
        "talk A ann 0.25 4.5 <o,f0,female> so we  begin\n"
        "talk A inter_segment_gap 4.5 6 <o,,> ignore_time_segment_in_scoring\n\n"
        "talk 1 ben 6 7.5 <unk> it is\n"
        "talk 1 ben 7.5 8\n",
    )
    assert is_stm(file)
    assert read_stm(file) == [
        TimedCue(0.25, 4.5, "so we  begin", "ann", recording="talk"),
        TimedCue(4.5, 6.0, "ignore_time_segment_in_scoring", "inter_segment_gap", recording="talk"),
        TimedCue(6.0, 7.5, "<unk> it is", "ben", recording="talk"),
        TimedCue(7.5, 8.0, "", "ben", recording="talk"),
    ]


def test_ctm(tmp_path: Path) -> None:
    file = file_of(
        tmp_path, ";; comment\ntalk 1 0.5 0.25 hello 0.98\ntalk 1 .75 0.5 you\nother A 1 0.5 9 0.5 lex ann\n"
    )
    assert is_ctm(file)
    assert read_ctm(file) == [
        TimedCue(0.5, 0.75, "hello", tier="words", recording="talk"),
        TimedCue(0.75, 1.25, "you", tier="words", recording="talk"),
        TimedCue(1.0, 1.5, "9", tier="words", recording="other"),
    ]


@pytest.mark.parametrize("line", ["talk A ann 0.5", "talk A ann x 4 <o> text"])
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    file = file_of(tmp_path, f";; first\n{line}\n")
    assert not is_stm(file)
    with pytest.raises(ValueError, match="line 2 is not"):
        read_stm(file)
    with pytest.raises(ValueError, match="line 1 is not"):
        read_ctm(file_of(tmp_path, "talk 1 0.5 word\n"))
