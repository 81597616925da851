"""TextGrids in every form that Praat and other programs write."""

import os
from pathlib import Path

import pytest
from praatio import textgrid

from accel_asr.data.reading.timed_texts.praat_textgrids import read_textgrid
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 2.5
        intervals: size = 3
        intervals [1]:
            xmin = -0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 1.25e0
            text = "she said ""item [3]"" 7 !"
        intervals [3]:
            xmin = 1.25
            xmax = 2.5
            text = "two
lines"
    item [2]:
        class = "TextTier"
        name = "pitch"
        xmin = 0
        xmax = 2.5
        points: size = 1
        points [1]:
            time = 1
            mark = "120"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
2.5
<exists>
2
"IntervalTier"
"words"
0
2.5
3
-0
0.5
""
0.5
1.25
"she said ""item [3]"" 7 !"
1.25
2.5
"two
lines"
"TextTier"
"pitch"
0
2.5
1
1
"120"
"""
CUES = [
    TimedCue(0.0, 0.5, "", tier="words"),
    TimedCue(0.5, 1.25, 'she said "item [3]" 7 !', tier="words"),
    TimedCue(1.25, 2.5, "two\nlines", tier="words"),
]


def read(folder: Path, content: str | bytes) -> list[TimedCue]:
    path = folder / "a.TextGrid"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_textgrid(AnnotationFile(path))


@pytest.mark.parametrize(
    "content",
    [
        LONG,
        SHORT,
        SHORT.rstrip("\n"),
        SHORT.replace("\n", "\r\n"),
        LONG.replace("item [1]", "item[1]").replace("intervals [2]:", "intervals [2]"),  # ELAN's
        LONG.replace("\n    ", "\n"),
        SHORT.replace("0.5\n1.25\n", '0.5 1.25 ! a comment with a "\n').replace("ooTextFile", "ooTextFile short"),
        b"\xef\xbb\xbf" + SHORT.encode(),
        LONG.encode("utf-16"),
        b"\xfe\xff" + LONG.encode("utf-16-be"),
        SHORT.encode("utf-16-le"),
    ],
    ids=["long", "short", "no-last-line-end", "crlf", "elan", "flat", "comment", "bom", "utf-16", "be", "no-mark"],
)
def test_every_form_has_the_same_intervals(tmp_path: Path, content: str | bytes) -> None:
    cues = read(tmp_path, content)
    assert cues == CUES
    assert str(cues[0].start_s) == "0.0"


def test_tiers_of_several_speakers_as_mfa_names_them(tmp_path: Path) -> None:
    content = SHORT.replace('"words"', '"Ann Lee - words"')
    assert read(tmp_path, content)[1] == TimedCue(
        0.5, 1.25, 'she said "item [3]" 7 !', "Ann Lee", "Ann Lee - words", tier_type="words"
    )


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"ooBinaryFile\x08TextGrid", "save it as text"),
        (SHORT[: SHORT.index('"two')], "middle of a tier"),
        (SHORT.replace('"TextGrid"', '"PitchTier"'), "does not begin"),
        ("", "middle"),
    ],
    ids=["binary", "torn", "another-class", "empty"],
)
def test_what_is_no_whole_text_grid_is_refused(tmp_path: Path, content: str | bytes, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        read(tmp_path, content)


@pytest.mark.realdata
def test_real_files_are_read_as_praatio_reads_them(realdata: Path) -> None:
    files = sorted((realdata / "layouts/textgrid-praatio").glob("*.TextGrid"))
    assert len(files) == 12
    for path in files:
        tiers = textgrid.openTextgrid(os.fspath(path), includeEmptyIntervals=True, reportingMode="silence").tiers
        intervals = [
            (tier.name, float(entry.start), float(entry.end), entry.label)
            for tier in tiers
            if isinstance(tier, textgrid.IntervalTier)
            for entry in tier.entries
        ]
        cues = read_textgrid(AnnotationFile(path))
        assert [(cue.tier, cue.start_s, cue.end_s, cue.text.strip()) for cue in cues] == intervals, path.name
