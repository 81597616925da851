"""The runs that are compared: their scores, which settings differ, and which are seeds of one recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from accel_asr.errors import UserError, raise_all
from accel_asr.evaluation.run_files import weights_in_words
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.reporting.run_records import BASELINE, read_run
from accel_asr.reporting.wording import number, setting_rows

SEED = "training.seed"
# of a run itself, not of its recipe
LEFT_OUT = ("output_dir", "checkpoint.resume", "checkpoint.allow_changes", "hub.", "tracking.")
ABSENT = "not in this version"


@dataclass(frozen=True)
class ComparedRun:
    """One run and the evaluation it is judged by: the best model's, or the last one.

    Args:
        name: The end of its folder's path, different for each run.
        settings: By dotted name, as text, without LEFT_OUT.
        baseline: The untouched model's record, if it was scored.
    """

    name: str
    run_dir: Path
    settings: Mapping[str, str]
    record: Mapping[str, Any]
    baseline: Mapping[str, Any] | None
    scored: Sequence[ScoredUtterance]

    @cached_property
    def by_id(self) -> dict[str, ScoredUtterance]:
        return {line.transcript.utterance_id: line for line in self.scored}

    @property
    def recipe(self) -> tuple[tuple[str, str], ...]:
        """All settings but the seed."""
        return tuple(sorted((name, value) for name, value in self.settings.items() if name != SEED))

    def to_json(self) -> dict[str, Any]:
        """Scores as fractions; intervals are [low, high]."""
        rates = [
            f"{rate}{suffix}"
            for rate in ("wer", "wer_ortho", "cer", "sentence_error_rate")
            for suffix in ("", "_interval", "_interval_by_utterance")
        ]
        return {
            "name": self.name,
            "run_dir": str(self.run_dir),
            "seed": self.settings.get(SEED),
            "weights": weights_in_words(self.record),
            **({"blocks": self.record["blocks"]} if "blocks" in self.record else {}),
            "utterances": self.record["utterances"],
            **{name: _numbers(self.record[name]) for name in rates if name in self.record},
            "baseline_wer": self.baseline and number(self.baseline["wer"]),
        }


def _numbers(value: Any) -> Any:
    """nan for null, which JSON has for a rate that is not defined."""
    return [number(bound) for bound in value] if isinstance(value, list) else number(value)


def read_runs(folders: Sequence[Path]) -> list[ComparedRun]:
    """The runs in these folders, in this order.

    Raises:
        UserError: fewer than two, one twice, or no run with an evaluation; all faults at once.
    """
    if len(folders) < 2:
        raise UserError("needs at least two runs", setting="RUN", remedy="give the folders of two or more runs")
    errors: list[UserError] = []
    runs: list[ComparedRun] = []
    seen: set[Path] = set()
    for folder, name in zip(folders, short_names(folders), strict=True):
        if folder.resolve() in seen:
            errors.append(UserError("is given twice", setting="RUN", value=folder, remedy="give each run once"))
            continue
        seen.add(folder.resolve())
        try:
            runs.append(_read(folder, name))
        except UserError as error:
            errors += [single.but(setting="RUN") for single in error.errors]
    raise_all(errors)
    return runs


def _read(folder: Path, name: str) -> ComparedRun:
    records = read_run(folder)
    if records.chosen is None:
        raise UserError(
            "has no evaluation yet", setting="RUN", value=folder, remedy="wait for its first, or leave the run out"
        )
    settings = {name: value for name, value in setting_rows(records.config) if not name.startswith(LEFT_OUT)}
    chosen = records.chosen
    return ComparedRun(name, folder, settings, chosen.record, records.summary.get(BASELINE), chosen.scored)


def short_names(folders: Sequence[Path]) -> list[str]:
    """The last parts of each path, as few as tell all apart."""
    parts = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(own[-count:]) for own in parts]
        if len(set(names)) == len(set(parts)):
            return names
    return [str(folder) for folder in folders]


def differing_settings(runs: Sequence[ComparedRun]) -> dict[str, list[str]]:
    """Name -> the value in each run, of settings that are not the same in all."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    values = {name: [run.settings.get(name, ABSENT) for run in runs] for name in names}
    return {name: of_runs for name, of_runs in values.items() if len(set(of_runs)) > 1}


def recipes_of(runs: Sequence[ComparedRun]) -> list[list[int]]:
    """The places of runs that differ in nothing but the seed, where there are at least two."""
    groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for place, run in enumerate(runs):
        groups.setdefault(run.recipe, []).append(place)
    return [places for places in groups.values() if len(places) > 1]
