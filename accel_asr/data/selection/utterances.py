"""Utterances that can be trained on or scored: rows of one index or several, read on access."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np

from accel_asr.data.indexing.index import Index, IndexedRow
from accel_asr.data.indexing.recordings import Recording
from accel_asr.data.reading.crossed_columns import crossed_cells
from accel_asr.data.text_processing import TextProcessing
from accel_asr.model.languages import language_name
from accel_asr.model.written_tokens import TimedWords


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clip and its labels; `samples` decodes it.

    `text` is the processed text; `timed` are its parts with their times, where the source has them. `language`, `task`
    and `prompt` are the row's own, None to use the run's. Clips of one `group` stay on one side of a split. `source` is
    the name of its source in a mixture; `columns` are the cells by which scores are broken down; `references` are
    further texts that would be right in an evaluation.
    `keywords` are the row's own. `block` is the group, the speaker, or the recording of a segment, and `block_column`
    says which.
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
    keywords: tuple[str, ...] = ()
    block: str | None = None
    block_column: str | None = None
    references: tuple[str, ...] = ()

    def samples(self) -> np.ndarray:
        """int16 at the model's rate, shape (samples,).

        Raises:
            AudioError: it can't be decoded.
        """
        return self.recording.samples()


@dataclass(frozen=True)
class Part:
    """An index, and how its rows become utterances. With several sources, ids start with `name`."""

    index: Index
    text: TextProcessing
    sampling_rate_hz: int
    channel: int | None = None
    name: str | None = None
    language: str | None = None  # of rows without their own
    task: str | None = None
    breakdown_columns: tuple[str, ...] = ()
    reference_columns: tuple[str, ...] = ()
    has_keywords: bool = False  # in the kept cells, after those of the breakdown
    group_column: str | None = None  # None also where rows are grouped by their text

    def utterance(self, row: int) -> Utterance:
        """The utterance of one row."""
        indexed = self.index[row]
        language, task = self.language_and_task(indexed.language, indexed.task)
        duration_s = float(self.index.durations_s[row])
        recording = Recording(
            indexed.audio,
            self.sampling_rate_hz,
            indexed.start_s,
            indexed.end_s,
            self.channel,
            signature=indexed.signature,
            content=indexed.content,
            dataset_audio=self.index.dataset_audio,
            kept=indexed.kept,
        )
        cells = indexed.breakdown or []
        first = max(len(cells) - len(self.reference_columns), 0)  # as `Row.breakdown` says
        block, block_column = self._block(indexed)
        kept = cells[:first]
        keywords = kept.pop() if self.has_keywords and kept else None
        return Utterance(
            utterance_id=self.prefix + indexed.utterance_id,
            text=self.text(indexed.text or ""),
            timed=self.text.timed(indexed.text or "", duration_s=duration_s),
            duration_s=duration_s,
            recording=recording,
            group=indexed.group,
            language=language,
            task=task,
            prompt=self.text.previous(indexed.prompt),
            source=self.name,
            columns=crossed_cells(self.breakdown_columns, kept),
            keywords=tuple(filter(None, map(str.strip, (keywords or "").split(";")))),
            block=None if block is None else self.prefix + block,
            block_column=block_column,
            references=tuple(self.text(cell) for cell in cells[first:] if cell),
        )

    def _block(self, row: IndexedRow) -> tuple[str | None, str | None]:
        """What the row shares with others, and the column that says so; both None if it shares nothing known."""
        if self.group_column is not None and row.group is not None:
            return row.group, self.group_column
        if row.speaker is not None:
            return row.speaker, self.index.facts.get("speaker_column") or "speaker"
        if row.content is not None and (row.start_s is not None or row.end_s is not None):
            return f"{row.content:016x}", "recording"
        return None, None

    def language_and_task(self, language: str | None, task: str | None) -> tuple[str | None, str | None]:
        """Those of a row with these cells; None where the run's apply."""
        return language_name(language) if language else self.language, task or self.task

    @property
    def prefix(self) -> str:
        return f"{self.name}/" if self.name else ""


class Utterances(Sequence[Utterance]):
    """Rows of parts in a chosen order, ten bytes each; an `Utterance` is made when it is asked for.

    Args:
        part_of: The part of each utterance, shape (utterances,).
        row_of: The row in that part's index, shape (utterances,).
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
        """All of them in order; parts are not merged, even of the same source."""
        firsts = np.cumsum([0, *(len(utterances.parts) for utterances in several)])
        return cls(
            [part for utterances in several for part in utterances.parts],
            np.concatenate([utterances.part_of + first for utterances, first in zip(several, firsts, strict=False)]),
            np.concatenate([utterances.row_of for utterances in several]),
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
        """How many utterances each part has."""
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
        """The cells of a column, such as `group`, as they are in the source."""
        values = np.empty(len(self), dtype=object)
        for number, part in enumerate(self.parts):
            mine = self.part_of == number
            values[mine] = part.index.texts_of(name, self.row_of[mine])
        return list(values)

    def column(self, name: str, dtype: type = np.float64) -> np.ndarray:
        """A column of numbers of the index, exactly, shape (utterances,); 0 where it is null."""
        return self.numbers(lambda part: part.index.column(name).fill_null(0).to_numpy(), dtype)

    def numbers(self, of_part: Callable[[Part], np.ndarray], dtype: type = np.float64) -> np.ndarray:
        """A number for each, shape (utterances,); `of_part` returns those of all rows of a part."""
        values: np.ndarray = np.zeros(len(self), dtype=dtype)
        for number, part in enumerate(self.parts):
            mine = self.part_of == number
            if mine.any():
                values[mine] = of_part(part)[self.row_of[mine]]
        return values
