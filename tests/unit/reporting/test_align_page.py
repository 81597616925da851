"""The page of the rows that fit worst: what is played, what is written, and that nothing in it acts."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.alignment.aligned import AlignedRow, LeftOut
from accel_asr.alignment.row_manifest import AlignedTotals, Cut
from accel_asr.alignment.spoken_texts import SpokenText
from accel_asr.reporting.align_page import clock, write_align_page

RATE_HZ = 16_000
TALK_S = 40


@pytest.fixture
def talk(tmp_path: Path) -> SpokenText:
    """Silence, but for a tone from 4.5 to 5 s, right before a row that begins at 5 s."""
    samples = np.zeros(TALK_S * RATE_HZ)
    samples[int(4.5 * RATE_HZ) : 5 * RATE_HZ] = 0.5 * np.sin(2 * np.pi * 440 / RATE_HZ * np.arange(RATE_HZ // 2))
    soundfile.write(tmp_path / "talk.wav", samples, RATE_HZ)
    return SpokenText("talk.wav", tmp_path / "talk.wav", "text")


def page_of(tmp_path: Path, totals: AlignedTotals, failures: dict[str, str] | None = None) -> str:
    write_align_page(totals, failures or {}, tmp_path / "page.html", model="openai/whisper-base")
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def players(page: str) -> list[np.ndarray]:
    contents = re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', page)
    return [soundfile.read(io.BytesIO(base64.b64decode(content)))[0] for content in contents]


def test_a_row_is_played_with_half_a_second_on_both_sides(talk: SpokenText, tmp_path: Path) -> None:
    cuts = [
        Cut(0, talk, AlignedRow(5.0, 35.0, "a row of thirty seconds", "what was before", 0.125), "en", float(TALK_S)),
        Cut(1, talk, AlignedRow(0.0, 2.0, "the first", None, 0.25), "en", float(TALK_S)),
        Cut(2, talk, AlignedRow(38.0, 40.0, "the last", None, 0.5), "en", float(TALK_S)),
    ]
    page = page_of(tmp_path, AlignedTotals(recordings=1, rows=3, worst=cuts))
    played = players(page)
    assert [round(len(samples) / RATE_HZ, 1) for samples in played] == [31.0, 2.5, 2.5]
    loud = np.flatnonzero(np.abs(played[0]) > 0.1)
    assert loud[0] / RATE_HZ < 0.1  # the tone before the row is heard
    assert loud[-1] / RATE_HZ == pytest.approx(0.5, abs=0.1)
    lines = [float(share) for share in re.findall(r"left: ([\d.]+)%", page)]
    assert lines == pytest.approx([100 * 0.5 / 31, 100 * 30.5 / 31, 0, 80, 20, 100], abs=0.01)
    assert page.index("a row of thirty seconds") < page.index("the first") < page.index("the last")
    assert "<strong>0.12</strong>" in page
    assert "what was before" in page


def test_what_is_left_out_and_what_failed_are_listed(talk: SpokenText, tmp_path: Path) -> None:
    totals = AlignedTotals(
        stretches={"text": 1, "speech": 2},
        without_rows=["empty.mp3"],
        left_out=[
            (talk, LeftOut("speech", 61.04, 3_725.5, "heard <b>words</b>")),
            (talk, LeftOut("text", 3.0, 3.0, "x" * 401)),
        ],
    )
    page = page_of(tmp_path, totals, {"torn.mp3": "it is torn"})
    assert "There are no rows" in page
    assert "talk.wav 1:01.0 to 1:02:05.5" in page
    assert "heard &lt;b&gt;words&lt;/b&gt;" in page
    assert "1 character more" in page
    assert "the 2 longest of them" in page
    assert "torn.mp3</span> could not be aligned: it is torn" in page
    assert "empty.mp3" in page


@pytest.mark.parametrize(("seconds", "written"), [(0.0, "0:00.0"), (59.96, "1:00.0"), (3599.99, "1:00:00.0")])
def test_times_are_written_as_on_a_player(seconds: float, written: str) -> None:
    assert clock(seconds) == written
