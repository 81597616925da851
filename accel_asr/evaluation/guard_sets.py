"""The guards of a run: rows that training must not make worse, and what a model makes of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from accel_asr.config.guard_settings import SILENCE, GuardConfig
from accel_asr.config.settings import DataConfig, SourceConfig
from accel_asr.console.public_text import last_part
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.reading.source_table import first_few
from accel_asr.data.selection.overlap import shared_recordings
from accel_asr.data.selection.preparation import prepare_utterances
from accel_asr.data.selection.run_sources import DEFAULT_VALIDATION_SPLIT, open_part, settings_of_other_rows
from accel_asr.data.selection.utterances import Utterances
from accel_asr.errors import UserError, raise_all

_SETTING = "--evaluation.guards"


@dataclass(frozen=True)
class Guard:
    """One guard: `name` names its files.

    Args:
        margin: By how much its rate may be above the baseline's, as a fraction.
        utterances: None for the made-up clips without speech.
        is_long: Some row is longer than the model's window, so all are transcribed from window to window.
    """

    name: str
    margin: float
    utterances: Utterances | None
    is_long: bool = False


def load_guards(
    guards: Sequence[GuardConfig],
    data: DataConfig,
    *,
    train: Utterances | None,
    encoder: LabelEncoder,
    sampling_rate_hz: int,
    window_s: float,
) -> tuple[list[Guard], list[str]]:
    """The guards of a run, and notices for the user: what was kept and what was left out.

    Args:
        data: The run's; a guard takes from it what it leaves unset.
        train: What is trained on, which no guard may hold; None for a stream, whose rows are not known.

    Raises:
        UserError: as reading and filtering raise; or a guard holds recordings that are trained on.
    """
    loaded: list[Guard] = []
    notices: list[str] = []
    for settings in guards:
        name = _unique_name(settings, {guard.name for guard in loaded})
        margin = settings.margin / 100
        if settings.is_silence:
            loaded.append(Guard(name, margin, None))
            continue
        try:
            utterances, guard_notices = _utterances_of(
                settings, data, encoder=encoder, sampling_rate_hz=sampling_rate_hz, window_s=window_s
            )
        except UserError as error:
            raise_all(
                single.but(setting=_SETTING, problem=f"guard {name}: {single.problem}") for single in error.errors
            )
        if train is not None and data.overlap != "allow":
            _refuse_trained(name, utterances, train)
        notices += [f"guard {name}: {notice}" for notice in guard_notices]
        is_long = bool((utterances.durations_s() > window_s).any())
        loaded.append(Guard(name, margin, utterances, is_long=is_long))
    return loaded, notices


def _utterances_of(
    settings: GuardConfig, data: DataConfig, *, encoder: LabelEncoder, sampling_rate_hz: int, window_s: float
) -> tuple[Utterances, list[str]]:
    own = settings_of_other_rows(data, settings.name_or_path)
    of_source = {name: getattr(settings, name) for name in SourceConfig.__dataclass_fields__ if hasattr(settings, name)}
    source = SourceConfig(**of_source | {"eval_name_or_path": settings.name_or_path, "eval_split": settings.split})
    split = settings.split or DEFAULT_VALIDATION_SPLIT
    part, notices = open_part(own, source, split, sampling_rate_hz=sampling_rate_hz, validates=True)
    utterances, drops = prepare_utterances(part, own, encoder=encoder, window_s=window_s, keep_long=True)
    notices.append(f"kept {len(utterances):,} of {len(part.index):,} utterances; {drops.sentence()}")
    return utterances[: settings.utterances], notices


def _refuse_trained(name: str, utterances: Utterances, train: Utterances) -> None:
    """Refuse a guard that could be learnt by heart.

    Raises:
        UserError: some of its recordings are trained on.
    """
    shared = shared_recordings(train, utterances)
    if len(shared.validation):
        examples = first_few([guarded for guarded, _ in shared.examples(train, utterances)])
        raise UserError(
            f"guard {name}: {len(shared.validation):,} of {len(utterances):,} utterances are also trained on, so it "
            f"would guard nothing: {examples}",
            setting=_SETTING,
            remedy="give other rows, or train on others; --data.overlap allow lets it pass",
        )


def _unique_name(settings: GuardConfig, taken: set[str]) -> str:
    given = settings.name or (SILENCE if settings.is_silence else last_part(settings.name_or_path))
    base = re.sub(r"[^\w.-]+", "_", given.rpartition(".")[0] or given if settings.name is None else given)
    base = base[:60].strip("._-") or "guard"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name
