"""What a model is evaluated on: the validation rows of a run's settings, or all rows of other sources."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from accel_asr.audio.augmentation import Augmentation
from accel_asr.config.augmentation_settings import AugmentConfig
from accel_asr.config.settings import DataConfig
from accel_asr.console.public_text import last_part
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.noise_folder import NoiseFolder
from accel_asr.data.selection.preparation import prepare_utterances
from accel_asr.data.selection.run_sources import open_part, resolved_sources
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.splits import load_train_and_validation
from accel_asr.errors import UserError, raise_all

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
class AddedNoise:
    """Noise in each clip of a set, at `snr_db` below the level of its speech; the same for a row whatever is scored."""

    folder: NoiseFolder
    snr_db: float

    def augmentation(self, sampling_rate_hz: int) -> Augmentation:
        """The effect that adds it."""
        always = AugmentConfig(noise_prob=1.0, min_snr_db=self.snr_db, max_snr_db=self.snr_db)
        return Augmentation(always, sampling_rate_hz, self.folder)


@dataclass(frozen=True)
class EvaluationSet:
    """Utterances that are scored together; `name` names its files. `noise` is added to each."""

    name: str
    source: str
    split: str
    revision: str | None
    utterances: Utterances
    noise: AddedNoise | None = None

    def with_noise(self, folder: NoiseFolder, snr_db: float) -> "EvaluationSet":
        """The same utterances with noise, as a set of its own: `validation +5 dB`."""
        return replace(self, name=f"{self.name} {snr_db:+g} dB", noise=AddedNoise(folder, snr_db))

    def only(self, utterance_ids: Sequence[str]) -> "EvaluationSet":
        """The same set with these utterances only."""
        keep = np.isin(self.utterances.ids(), list(utterance_ids))
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
    keep_long: bool = False,
) -> tuple[list[EvaluationSet], list[str]]:
    """The sets, and notices for the user: what was kept and what was left out.

    Args:
        datasets: Without any, the validation rows of `data`, as training holds them out.
        most_utterances: The first utterances of each set, at most so many.
        keep_long: Keep the rows of `datasets` that are longer than the window, unless `data.max_duration_s` is below
            it.

    Raises:
        UserError: as reading and filtering raise.
    """
    if not datasets:
        # an overlap with the training data is reported, and does not stop the evaluation
        loaded = load_train_and_validation(
            replace(data, overlap="allow"),
            encoder=encoder,
            sampling_rate_hz=sampling_rate_hz,
            window_s=window_s,
            seed=seed,
        )
        source = ", ".join(source.name_or_path for source in resolved_sources(data))
        held = data.eval_name_or_path or data.eval_split or f"{data.train_split}, held out"
        validation = EvaluationSet(VALIDATION, source, held, data.revision, loaded.validation[:most_utterances])
        return [validation], loaded.notices
    sets, notices = [], []
    taken: set[str] = set()
    for dataset in datasets:
        source_settings = resolved_sources(replace(data, name_or_path=dataset.name_or_path, sources=[]))[0]
        with _errors_name(dataset):
            part, part_notices = open_part(data, source_settings, dataset.split, sampling_rate_hz=sampling_rate_hz)
            # empty texts show what a model writes where nothing is said
            utterances, drops = prepare_utterances(
                part,
                data,
                encoder=encoder,
                window_s=window_s,
                keep_empty_texts=True,
                keep_long=keep_long and data.max_duration_s >= window_s,
            )
        name = _unique(_label(dataset), taken)
        kept = f"{name}: kept {len(utterances):,} of {len(part.index):,} utterances; {drops.sentence()}"
        notices += [*part_notices, kept]
        revision, utterances = source_settings.revision, utterances[:most_utterances]
        sets.append(EvaluationSet(name, dataset.name_or_path, dataset.split, revision, utterances))
    return sets, notices


@contextmanager
def _errors_name(dataset: DatasetName) -> Iterator[None]:
    """Let errors say which source they are about, and how to name a column that it lacks."""
    try:
        yield
    except UserError as error:
        raise_all(_about(dataset, single) for single in error.errors)


def _about(dataset: DatasetName, error: UserError) -> UserError:
    column = (error.setting or "").removeprefix("--")
    if column == "data.name_or_path":
        return error.but(setting="--dataset")
    problem, remedy = f"{error.problem} (--dataset {dataset.name_or_path})", error.remedy
    if column.endswith(("_column", "_columns")):
        none = "[]" if column.endswith("columns") else "null"
        needed = column in ("data.text_column", "data.audio_column")
        hint = f"the run's settings hold here too, so give --{column} for this source"
        hint += "" if needed else f' ("--{column}={none}" for none)'
        remedy = f"{remedy}; {hint}" if remedy else hint
    return error.but(problem=problem, remedy=remedy)


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
