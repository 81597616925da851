"""Clips before and after augmentation, as WAV files and a page that plays them side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import soundfile

from accel_asr.console.public_text import visible_lines
from accel_asr.files.atomic_writes import folder_written_whole
from accel_asr.reporting.media import log_mel_webp

PAGE_FILE = "index.html"
_STYLE = """body { font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem }
td, th { text-align: left; vertical-align: top; padding: 0.4rem 1rem 0.4rem 0 } img { display: block; width: 100% }
audio { width: 100% } tr + tr td { border-top: 1px solid #ccc }"""


@dataclass(frozen=True)
class AugmentedSample:
    """A training clip: `original` and `augmented` are int16 at 16 kHz, shape (samples,); `applied`: the effects."""

    utterance_id: str
    text: str
    original: np.ndarray
    augmented: np.ndarray
    applied: tuple[str, ...]


def write_samples(samples: Sequence[AugmentedSample], folder: Path, *, sampling_rate_hz: int) -> Path:
    """Write `01_original.wav`, `01_augmented.wav` and so on, and the page; complete or not at all.

    Returns:
        The page.

    Raises:
        OSError: the folder can't be written.
    """
    rows = []
    with folder_written_whole(folder) as beside:
        for number, sample in enumerate(samples, start=1):
            cells = []
            for kind, clip in (("original", sample.original), ("augmented", sample.augmented)):
                name = f"{number:02}_{kind}"
                soundfile.write(beside / f"{name}.wav", clip, sampling_rate_hz)
                (beside / f"{name}.webp").write_bytes(log_mel_webp(clip))
                cells.append(
                    f'<img src="{name}.webp" alt="log-mel features"><audio controls preload="none" src="{name}.wav">'
                    f"</audio>{len(clip) / sampling_rate_hz:.2f} s"
                )
            effects = "<br>".join(map(escape, sample.applied)) or "none"
            title = f"<b>{escape(sample.utterance_id)}</b><br>{escape(sample.text)}"
            rows.append(f"<tr><td>{title}<br><br>{effects}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        head = "<tr><th>clip and effects</th><th>original</th><th>as training hears it</th></tr>"
        page = (
            f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>augmented clips</title><style>{_STYLE}</style>'
            f"</head><body><h1>Augmented clips</h1><table>{head}\n{chr(10).join(rows)}\n</table></body></html>\n"
        )
        (beside / PAGE_FILE).write_text(visible_lines(page), encoding="utf-8")
    return folder / PAGE_FILE
