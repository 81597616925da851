"""Rows without speech, which are added to the training utterances and whose text is empty."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest

from accel_asr.audio.decoding import to_int16
from accel_asr.audio.no_speech_sounds import synthetic_sound
from accel_asr.data.labels import Label
from accel_asr.data.loading.items import ClipSpan, Item
from accel_asr.data.order.packing import GAP_S

SHORTEST_S, LONGEST_S = 1.0, 30.0
RECORDED_GAIN_DB = (-20.0, 0.0)  # of a recording, so that it is heard near and far
_DRAWS = 5  # apart from other draws of the same seed
# an excerpt of a recording without speech, float32, of so many samples at a rate, as a generator draws it; its name
Excerpts = Callable[[int, int, np.random.Generator], tuple[np.ndarray, str]]


@dataclass(frozen=True)
class NoSpeechRows:
    """So many rows without speech. Cheap to send to a process.

    Args:
        durations_s: Of each, shape (rows,): drawn once, since the order of training may depend on it.
        recorded: Where sounds come from beside the made-up ones; each row draws one of all, equally often.
        content: A checksum of what is recorded.
    """

    durations_s: np.ndarray = field(repr=False)
    sampling_rate_hz: int
    recorded: tuple[Excerpts, ...] = ()
    content: str = ""

    @classmethod
    def beside(
        cls, utterances: int, *, fraction: float, longest_s: float, seed: int, sampling_rate_hz: int, **recorded: Any
    ) -> "NoSpeechRows":
        """As many as make `fraction` of an epoch with so many utterances; at least one.

        Args:
            longest_s: The longest clip that training takes; LONGEST_S at most.
        """
        count = max(1, round(utterances * fraction / (1 - fraction)))
        longest_s = min(longest_s, LONGEST_S)
        draws = np.random.default_rng((seed, _DRAWS))
        durations_s = draws.uniform(min(SHORTEST_S, longest_s), longest_s, count)
        samples = np.floor(durations_s * sampling_rate_hz)
        return cls(samples / sampling_rate_hz, sampling_rate_hz, **recorded)

    def __len__(self) -> int:
        return len(self.durations_s)

    @property
    def checksum(self) -> int:
        """Of what is heard, apart from the run's seed."""
        facts = f"{len(self.recorded)} {self.content}".encode()
        return xxh3_64_intdigest(self.durations_s.tobytes() + facts)

    def notice(self, fraction: float) -> str:
        """What is added, for the user."""
        sounds = "made-up silence, hiss and hum" + " and recordings" * bool(self.recorded)
        return (
            f"data.no_speech_fraction: {len(self):,} clips without speech ({sounds}), {fraction:.0%} of an epoch, are "
            "trained on with an empty text; transcripts may be empty"
        )

    def summary(self) -> dict[str, Any]:
        """For data_summary.json."""
        return {"clips": len(self), "hours": round(float(self.durations_s.sum()) / 3600, 4)}

    def name(self, row: int) -> str:
        """The utterance id of a row."""
        return f"no-speech-{row:06d}"

    def samples(self, row: int, row_seed: int) -> np.ndarray:
        """int16, shape (samples,): another sound in each epoch.

        Args:
            row_seed: The seed of the row in this epoch.
        """
        draws = np.random.default_rng((row_seed, _DRAWS))
        count = round(float(self.durations_s[row]) * self.sampling_rate_hz)
        source = int(draws.integers(1 + len(self.recorded)))
        if source == 0:
            return to_int16(synthetic_sound(count, self.sampling_rate_hz, draws))
        sound, _ = self.recorded[source - 1](count, self.sampling_rate_hz, draws)
        return to_int16(sound * np.float32(10 ** (draws.uniform(*RECORDED_GAIN_DB) / 20)))

    def item(self, rows: Sequence[int], row_seeds: Sequence[int], label: Label) -> Item:
        """Some rows as one item, with the pauses of a pack between them."""
        gap = np.zeros(round(GAP_S * self.sampling_rate_hz), dtype=np.int16)
        audio = np.zeros(0, dtype=np.int16)
        spans: list[ClipSpan] = []
        for row, row_seed in zip(rows, row_seeds, strict=True):
            samples = self.samples(row, row_seed)
            audio = np.concatenate([audio, gap, samples]) if spans else samples
            spans.append(ClipSpan(self.name(row), row_seed, len(audio) - len(samples), len(audio)))
        return Item(
            spans[0].utterance_id,
            float(self.durations_s[list(rows)].sum()),
            audio,
            label.token_ids,
            spans=tuple(spans),
            row_seed=spans[0].row_seed,
            after_start=label.after_start,
        )
