"""The long recordings of a run: joined from its validation clips, or the rows of a source."""

import numpy as np

from accel_asr.config.settings import DataConfig, SourceConfig
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.selection.long_recordings import LongRecording, joined_recordings
from accel_asr.data.selection.preparation import prepare_utterances
from accel_asr.data.selection.run_sources import DEFAULT_VALIDATION_SPLIT, open_part, settings_of_other_rows
from accel_asr.data.selection.utterances import Utterances
from accel_asr.errors import UserError, raise_all

JOINED, NONE = "joined", "none"
_SETTING = "--evaluation.long_form"


def load_long_recordings(
    wanted: str,
    data: DataConfig,
    *,
    validation: Utterances,
    most: int,
    encoder: LabelEncoder,
    sampling_rate_hz: int,
    window_s: float,
) -> tuple[list[LongRecording], list[str]]:
    """At most so many recordings that are longer than the model's window, and notices for the user.

    Args:
        wanted: `evaluation.long_form`: `joined`, `none`, or a source, which takes its columns from `data`.

    Raises:
        UserError: as reading and filtering raise; or no row of the source is longer than the window.
    """
    if wanted == NONE:
        return [], []
    if wanted == JOINED:
        recordings = joined_recordings(validation, most=most, longer_than_s=window_s)
        notices = [] if recordings else ["too little validation data to join to a recording longer than the window"]
        return recordings, notices
    try:
        utterances, notices = _rows_of(wanted, data, encoder, sampling_rate_hz=sampling_rate_hz, window_s=window_s)
    except UserError as error:
        raise_all(single.but(setting=_SETTING, value=wanted) for single in error.errors)
    is_long = utterances.durations_s() > window_s
    if not is_long.any():
        remedy = f"give recordings longer than {window_s:g} s, or joined"
        raise UserError("no row is longer than the model's window", setting=_SETTING, value=wanted, remedy=remedy)
    chosen = np.flatnonzero(is_long)[:most]
    notices.append(f"{len(chosen):,} of {int(is_long.sum()):,} rows longer than {window_s:g} s are transcribed")
    return LongRecording.whole(utterances.select(chosen)), [f"evaluation.long_form: {notice}" for notice in notices]


def _rows_of(
    source: str, data: DataConfig, encoder: LabelEncoder, *, sampling_rate_hz: int, window_s: float
) -> tuple[Utterances, list[str]]:
    own = settings_of_other_rows(data, source)
    split = DEFAULT_VALIDATION_SPLIT
    as_validation = SourceConfig(name_or_path=source, eval_name_or_path=source)
    part, notices = open_part(own, as_validation, split, sampling_rate_hz=sampling_rate_hz, validates=True)
    utterances, drops = prepare_utterances(part, own, encoder=encoder, window_s=window_s, keep_long=True)
    return utterances, [*notices, f"kept {len(utterances):,} of {len(part.index):,} rows; {drops.sentence()}"]
