"""What a model is evaluated on: the validation rows of a run's settings, or all rows of other sources."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from accel_asr.config.settings import DataConfig
from accel_asr.console.public_text import last_part
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.selection.preparation import prepare_utterances
from accel_asr.data.selection.run_sources import open_part, resolved_sources
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.splits import load_train_and_validation
from accel_asr.errors import UserError

DEFAULT_SPLIT = "test"
LONGEST_LABEL = 100  # letters: a file's name has at most 255 bytes
VALIDATION = "validation"
_SPLIT = re.compile(r"[\w.:%\[\]-]+")


@dataclass(frozen=True)
class DatasetName:
    """A source and its split, as `--dataset NAME[@SPLIT]` gives them."""

    name_or_path: str
    split: str = DEFAULT_SPLIT

    @classmethod
    def parse(cls, given: str) -> "DatasetName":
        """`calls/test.csv`, `PolyAI/minds14@train[450:]`. What exists as a path is a path, whatever is in its name."""
        name, at, split = given.rpartition("@")
        if at and name and _SPLIT.fullmatch(split) and not Path(given).exists():
            return cls(name, split)
        return cls(given)


@dataclass(frozen=True)
class EvaluationSet:
    """Utterances that are scored together. `name` is that of its files; the rest says what it is."""

    name: str
    source: str
    split: str
    revision: str | None
    utterances: Utterances

    def only(self, utterance_ids: Sequence[str]) -> "EvaluationSet":
        """The same without the utterances that are not named."""
        wanted = set(utterance_ids)
        keep = np.array([name in wanted for name in self.utterances.ids()], dtype=bool)
        return replace(self, utterances=self.utterances.select(np.flatnonzero(keep)))


def load_evaluation_sets(
    data: DataConfig,
    datasets: Sequence[DatasetName],
    *,
    encoder: LabelEncoder,
    sampling_rate_hz: int,
    window_s: float,
    seed: int,
    most_utterances: int | None = None,
) -> tuple[list[EvaluationSet], list[str]]:
    """The sets, and notices for the user: what was kept and what was left out.

    Args:
        datasets: With none, the validation rows that `data` describes, as training would hold them out.
        most_utterances: Of each set, the first so many.

    Raises:
        UserError: as reading and filtering raise.
    """
    if not datasets:
        # a score of what was trained on too is still a score: it is said, and no reason to end
        loaded = load_train_and_validation(
            replace(data, overlap="allow"),
            encoder=encoder,
            sampling_rate_hz=sampling_rate_hz,
            window_s=window_s,
            seed=seed,
        )
        source = ", ".join(source.name_or_path for source in resolved_sources(data))
        held = data.eval_name_or_path or data.eval_split or f"{data.train_split}, held out"
        sets = [EvaluationSet(VALIDATION, source, held, data.revision, loaded.validation)]
        return [_first(one, most_utterances) for one in sets], loaded.notices
    sets, notices = [], []
    taken: set[str] = set()
    for dataset in datasets:
        source_settings = resolved_sources(replace(data, name_or_path=dataset.name_or_path, sources=[]))[0]
        with _told_of(dataset):
            part, told = open_part(data, source_settings, dataset.split, sampling_rate_hz=sampling_rate_hz)
            utterances, drops = prepare_utterances(
                part,
                encoder=encoder,
                max_duration_s=min(data.max_duration_s, window_s),
                max_bad_fraction=data.max_bad_fraction,
                cut_long_labels=data.long_labels == "cut",
                keep_empty_texts=True,  # what a model writes where nothing is said is worth knowing
            )
        name = _unique(_label(dataset), taken)
        told.append(f"{name}: kept {len(utterances):,} of {len(part.index):,} utterances; {drops.sentence()}")
        notices += told
        found = EvaluationSet(name, dataset.name_or_path, dataset.split, source_settings.revision, utterances)
        sets.append(_first(found, most_utterances))
    return sets, notices


@contextmanager
def _told_of(dataset: DatasetName) -> Iterator[None]:
    """Let an error say which of the sources it is about, and where a column that it lacks is named."""
    try:
        yield
    except UserError as error:
        told = f"--dataset {dataset.name_or_path}: {error}"
        column = (error.setting or "").removeprefix("--")
        if column.endswith(("_column", "_columns")):
            none = "[]" if column.endswith("columns") else "null"
            told += f"; the settings of a run hold here too, so give --{column} for this source"
            if column not in ("data.text_column", "data.audio_column"):
                told += f' ("--{column}={none}" for none)'
        raise UserError(told, same_on_every_rank=error.same_on_every_rank) from error


def _first(one: EvaluationSet, most: int | None) -> EvaluationSet:
    return one if most is None else replace(one, utterances=one.utterances[:most])


def _label(dataset: DatasetName) -> str:
    """A name that can be a file's: `test` of calls/test.csv, `minds14-train` of PolyAI/minds14@train."""
    path = Path(last_part(dataset.name_or_path))
    label = path.stem if path.suffix in (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".tar") else path.name
    if dataset.split != DEFAULT_SPLIT:
        label += f"-{dataset.split}"
    return re.sub(r"[^\w.-]+", "_", label)[-LONGEST_LABEL:].strip("._") or "set"


def _unique(label: str, taken: set[str]) -> str:
    name, number = label, 1
    while name in taken:
        number += 1
        name = f"{label}-{number}"
    taken.add(name)
    return name
