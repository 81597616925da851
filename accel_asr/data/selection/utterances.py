"""Utterances that can be trained on or scored: rows of one index or several, read when they are asked for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np

from accel_asr.data.indexing.index import Index
from accel_asr.data.indexing.recordings import Recording
from accel_asr.data.text_processing import TextProcessing
from accel_asr.model.languages import language_name
from accel_asr.model.written_tokens import TimedWords


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clip and what is known of it; `samples` decodes it.

    `text` is as it is learnt; `timed` are its parts where the source says when they are spoken. `language`, `task` and
    `prompt` are the row's own, None where the run's hold. `group` is what the clips that must stay together share;
    `source` is the name of its source in a mixture; `columns` are its cells by which scores are told.
    """

    utterance_id: str
    text: str
    duration_s: float
    recording: Recording
    group: str | None = None
    language: str | None = None
    task: str | None = None
    prompt: str | None = None
    timed: tuple[TimedWords, ...] = ()
    source: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def samples(self) -> np.ndarray:
        """int16 at the model's rate, shape (samples,).

        Raises:
            AudioError: it can't be decoded.
        """
        return self.recording.samples()


@dataclass(frozen=True)
class Part:
    """An index, and how its rows become utterances. `name` comes before their ids, where there are several."""

    index: Index
    text: TextProcessing
    sampling_rate_hz: int
    channel: int | None = None
    name: str | None = None
    language: str | None = None  # of rows that do not say
    task: str | None = None
    breakdown_columns: tuple[str, ...] = ()

    def utterance(self, row: int) -> Utterance:
        """One row."""
        found = self.index[row]
        language, task = self.language_and_task(found.language, found.task)
        duration_s = float(self.index.durations_s[row])
        recording = Recording(
            found.audio,
            self.sampling_rate_hz,
            found.start_s,
            found.end_s,
            self.channel,
            signature=found.signature,
            content=found.content,
            dataset_audio=self.index.dataset_audio,
            kept=found.kept,
        )
        return Utterance(
            utterance_id=self.prefix + found.utterance_id,
            text=self.text(found.text or ""),
            timed=self.text.timed(found.text or "", duration_s=duration_s),
            duration_s=duration_s,
            recording=recording,
            group=found.group,
            language=language,
            task=task,
            prompt=self.text.previous(found.prompt),
            source=self.name,
            columns={
                name: cell
                for name, cell in zip(self.breakdown_columns, found.breakdown or (), strict=bool(found.breakdown))
                if cell is not None
            },
        )

    def language_and_task(self, language: str | None, task: str | None) -> tuple[str | None, str | None]:
        """Those of a row whose cells say so; None where the run's hold."""
        return language_name(language) if language else self.language, task or self.task

    @property
    def prefix(self) -> str:
        return f"{self.name}/" if self.name else ""


class Utterances(Sequence[Utterance]):
    """Rows of parts in a chosen order. It holds ten bytes a row, and of an utterance nothing until it is asked for.

    Args:
        part_of: Which part each is of, shape (utterances,).
        row_of: Which row of that part's index, shape (utterances,).
    """

    def __init__(self, parts: Sequence[Part], part_of: np.ndarray, row_of: np.ndarray) -> None:
        self.parts = list(parts)
        self.part_of = part_of.astype(np.uint16)
        self.row_of = row_of.astype(np.int64)

    @classmethod
    def of_part(cls, part: Part, rows: np.ndarray) -> "Utterances":
        """Some rows of one index."""
        return cls([part], np.zeros(len(rows)), rows)

    @classmethod
    def together(cls, several: Sequence["Utterances"]) -> "Utterances":
        """One after the other; parts stay apart even where they are of the same source."""
        firsts = np.cumsum([0, *(len(one.parts) for one in several)])
        return cls(
            [part for one in several for part in one.parts],
            np.concatenate([one.part_of + first for one, first in zip(several, firsts, strict=False)]),
            np.concatenate([one.row_of for one in several]),
        )

    def __len__(self) -> int:
        return len(self.row_of)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> "Utterances": ...
    def __getitem__(self, index: int | slice) -> "Utterance | Utterances":
        if isinstance(index, slice):
            return Utterances(self.parts, self.part_of[index], self.row_of[index])
        return self.parts[self.part_of[index]].utterance(int(self.row_of[index]))

    def __iter__(self) -> Iterator[Utterance]:
        return (self[index] for index in range(len(self)))

    def select(self, chosen: np.ndarray) -> "Utterances":
        """Those at `chosen`, indices or a mask, in that order."""
        return Utterances(self.parts, self.part_of[chosen], self.row_of[chosen])

    def part_sizes(self) -> tuple[int, ...]:
        """How many are of each part."""
        return tuple(np.bincount(self.part_of, minlength=len(self.parts)).tolist())

    def durations_s(self) -> np.ndarray:
        """Seconds of each, float64, shape (utterances,)."""
        return self.numbers(lambda part: part.index.durations_s)

    def ids(self) -> list[str]:
        """All ids, in order."""
        prefixes = [part.prefix for part in self.parts]
        ids = self.cells("utterance_id")
        return [f"{prefixes[part]}{name}" for part, name in zip(self.part_of, ids, strict=True)]

    def cells(self, name: str) -> list[str | None]:
        """A column of the source for each of them, such as `group`, as the source says it."""
        values = np.empty(len(self), dtype=object)
        for number, part in enumerate(self.parts):
            mine = self.part_of == number
            values[mine] = part.index.texts_of(name, self.row_of[mine])
        return list(values)

    def numbers(self, of_part: Callable[[Part], np.ndarray]) -> np.ndarray:
        """A number for each of them, from those that `of_part` has for all rows of a part; float64."""
        values = np.empty(len(self))
        for number, part in enumerate(self.parts):
            mine = self.part_of == number
            values[mine] = of_part(part)[self.row_of[mine]]
        return values
