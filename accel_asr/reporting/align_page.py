"""The page of the aligned rows that fit worst, and of what was left out: one file that needs no other."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from accel_asr import __version__
from accel_asr.alignment.row_manifest import WHY, AlignedTotals, Cut
from accel_asr.audio.decoding import decode, to_int16
from accel_asr.console.public_text import visible_lines
from accel_asr.files.atomic_writes import write_text
from accel_asr.reporting.media import MAX_PLAYED_S, SAMPLING_RATE_HZ, Clip, Clips
from accel_asr.reporting.report_page import page_environment

TEMPLATE = "align_template.html"
MOST_CUTS, MOST_LEFT_OUT = 50, 200
BESIDE_S = 0.5  # played before and after a row, to hear what is cut off
MAX_MEDIA_BYTES = 9_000_000  # 50 rows of 30 s; the page stays below 10 MB


@dataclass(frozen=True)
class CutCard:
    """A row as the page shows it; `begin` and `end`: where it begins and ends in the picture, in percent."""

    cut: Cut
    place: str
    clip: Clip | None
    begin: float
    end: float


def write_align_page(totals: AlignedTotals, failures: Mapping[str, str], path: Path, *, model: str) -> None:
    """Write the page, complete or not at all. Decodes one row at a time.

    Raises:
        OSError: it can't be written.
    """
    by_number = {str(cut.number): cut for cut in totals.worst}
    clips = Clips(
        lambda number: _with_both_sides(by_number[number]),
        max_bytes=MAX_MEDIA_BYTES,
        is_small=True,
        max_played_s=MAX_PLAYED_S + 2 * BESIDE_S,
    )
    stretches = [
        (place_of(spoken.path, left_out.start_s, left_out.end_s), WHY[left_out.kind], left_out.text)
        for spoken, left_out in totals.left_out
    ]
    text = (
        page_environment()
        .get_template(TEMPLATE)
        .render(
            totals=totals,
            failures=failures,
            cards=[_card(cut, clips.clip(number)) for number, cut in by_number.items()],
            clips=clips,
            stretches=stretches,
            beside_s=BESIDE_S,
            model=model,
            version=__version__,
            made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    write_text(path, visible_lines(text))


def place_of(path: Path, start_s: float, end_s: float) -> str:
    """`talk.mp3 12:03.4 to 12:31.0`."""
    return f"{path.name} {clock(start_s)} to {clock(end_s)}"


def clock(seconds: float) -> str:
    """723.41 as `12:03.4`, 3723.41 as `1:02:03.4`."""
    tenths = round(10 * seconds)
    hours, minutes = tenths // 36_000, tenths // 600 % 60
    rest = f"{tenths % 600 / 10:04.1f}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"


def _with_both_sides(cut: Cut) -> np.ndarray:
    start_s, end_s = _played(cut)
    return to_int16(decode(cut.spoken.path, sampling_rate_hz=SAMPLING_RATE_HZ, start_s=start_s, end_s=end_s))


def _played(cut: Cut) -> tuple[float, float]:
    return max(0.0, cut.row.start_s - BESIDE_S), min(cut.ends_s, cut.row.end_s + BESIDE_S)


def _card(cut: Cut, clip: Clip | None) -> CutCard:
    first_s, last_s = _played(cut)
    begin, end = (100 * (second - first_s) / (last_s - first_s) for second in (cut.row.start_s, cut.row.end_s))
    return CutCard(cut, place_of(cut.spoken.path, cut.row.start_s, cut.row.end_s), clip, begin, end)
