"""Recordings longer than the model's window to score a model on: given as such, or joined from validation clips."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from accel_asr.audio import INT16_SCALE
from accel_asr.audio.augmentation import Augmentation
from accel_asr.data.selection.utterances import Utterance, Utterances
from accel_asr.model.written_tokens import TimedWords

SHORTEST_S, LONGEST_S = 120.0, 300.0  # of joined recordings, where there is so much of one block
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.3, 1.0
_LOOKED_AT = 5_000  # of the validation rows: what is joined is a sample


@dataclass(frozen=True)
class LongRecording:
    """Utterances one after the other, with digital silence between them; decoded when it is needed.

    Args:
        utterances: Of one language and task; a recording that is given whole is one utterance.
        starts_s: Where each begins, shape (utterances,).
        augmentation: Of its sound, drawn by its id; None leaves it as it is.
    """

    recording_id: str
    utterances: Utterances
    starts_s: tuple[float, ...]
    augmentation: Augmentation | None = None

    @classmethod
    def whole(cls, utterances: Utterances, augmentation: Augmentation | None = None) -> "list[LongRecording]":
        """A recording for each utterance."""
        return [cls(name, utterances[row : row + 1], (0.0,), augmentation) for row, name in enumerate(utterances.ids())]

    @property
    def first(self) -> Utterance:
        """Whose language and task are those of all."""
        return self.utterances[0]

    @cached_property
    def duration_s(self) -> float:
        return self.starts_s[-1] + float(self.utterances.durations_s()[-1])

    @property
    def text(self) -> str:
        return " ".join(utterance.text for utterance in self.utterances)

    @property
    def timed(self) -> list[TimedWords]:
        """The parts of the text whose times are known: of joined utterances, and of texts with written times."""
        parts: list[TimedWords] = []
        for start_s, utterance in zip(self.starts_s, self.utterances, strict=True):
            own = utterance.timed
            if not own and len(self.utterances) > 1:
                own = (TimedWords(utterance.text, 0.0, utterance.duration_s),)
            parts += [TimedWords(part.text, start_s + part.start_s, start_s + part.end_s) for part in own]
        return parts

    def samples(self) -> np.ndarray:
        """float32 in -1..1, mono, at the model's rate, shape (samples,).

        Raises:
            AudioError: one of the utterances can't be decoded.
        """
        rate_hz = self.utterances.parts[0].sampling_rate_hz
        clips = []
        length = 0
        for start_s, utterance in zip(self.starts_s, self.utterances, strict=True):
            clip = utterance.samples()
            # a clip may be a little longer than its header says; the next one then begins a little later
            silence = np.zeros(max(0, round(start_s * rate_hz) - length), dtype=np.int16)
            clips += [silence, clip]
            length += len(silence) + len(clip)
        heard = np.concatenate(clips)
        if self.augmentation is not None:
            seed = zlib.crc32(self.recording_id.encode())
            heard = self.augmentation.clip(heard, row_seed=seed, most_samples=len(heard)).samples
        return heard.astype(np.float32) / INT16_SCALE


def joined_recordings(utterances: Utterances, *, most: int, longer_than_s: float) -> list[LongRecording]:
    """At most so many recordings of 2 to 5 minutes, joined from clips of one block after the other.

    A block is a group, a speaker or a recording; where none is known, clips are joined in their order. A function of
    the rows alone: every rank and every resumed run gets the same.

    Args:
        longer_than_s: The model's window: what is left of the clips becomes a shorter recording, if it is longer.
    """
    some = utterances[:_LOOKED_AT]
    durations_s = some.durations_s()
    by_kind: dict[tuple[str | None, str | None], dict[object, list[int]]] = {}
    for row, utterance in enumerate(some):
        kind = by_kind.setdefault((utterance.language, utterance.task), {})
        kind.setdefault(row if utterance.block is None else utterance.block, []).append(row)
    pauses_s = np.array([_pause_s(name) for name in some.ids()])
    recordings: list[LongRecording] = []
    for blocks in by_kind.values():
        for rows in _rows_of_recordings(list(blocks.values()), durations_s + pauses_s, longer_than_s=longer_than_s):
            lengths_s = durations_s[rows] + pauses_s[rows]
            starts_s = np.cumsum([0.0, *lengths_s[:-1]])
            joined = some.select(np.array(rows))
            recordings.append(LongRecording(joined.ids()[0], joined, tuple(starts_s.tolist())))
    return recordings[:most]


def _rows_of_recordings(blocks: list[list[int]], lengths_s: np.ndarray, *, longer_than_s: float) -> Iterator[list[int]]:
    """Rows that are joined: a recording ends with its block, or where it would become too long.

    What a block has left then comes after all others, so that the first recordings are of many blocks.
    """
    rows: list[int] = []
    length_s = 0.0
    while blocks:
        left = []
        for block in blocks:
            for place, row in enumerate(block):
                if rows and length_s + lengths_s[row] > LONGEST_S:
                    yield rows
                    rows, length_s = [], 0.0
                    left.append(block[place:])
                    break
                rows.append(row)
                length_s += lengths_s[row]
            if length_s >= SHORTEST_S:
                yield rows
                rows, length_s = [], 0.0
        blocks = left
    if length_s > longer_than_s:
        yield rows


def _pause_s(name: str) -> float:
    """The silence after an utterance, by its id."""
    share = zlib.crc32(name.encode()) / 2**32
    return _SHORTEST_PAUSE_S + share * (_LONGEST_PAUSE_S - _SHORTEST_PAUSE_S)
