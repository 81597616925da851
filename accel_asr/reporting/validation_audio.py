"""The audio of validation utterances by their ids, decoded when it is asked for."""

from dataclasses import replace
from functools import cache

import numpy as np

from accel_asr.config.settings import DataConfig, ModelConfig
from accel_asr.data.checking.model_limits import load_model_limits
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.splits import load_train_and_validation
from accel_asr.reporting.media import SamplesOf


def samples_by_id(utterances: Utterances) -> SamplesOf:
    """A function from an utterance's id to its samples, int16; it raises KeyError for an id that is not there."""

    @cache
    def places() -> dict[str, int]:
        return {name: place for place, name in enumerate(utterances.ids())}

    def samples_of(utterance_id: str) -> np.ndarray:
        return utterances[places()[utterance_id]].samples()

    return samples_of


def reopen(data: DataConfig, model: ModelConfig, *, seed: int) -> SamplesOf:
    """Open the validation data of a run as the run did; of a warm index, nothing is decoded but what is asked for.

    Recordings that have gone since take no others with them. Where rows were held out of the training data, other rows
    may be held out without them; so all rows are looked through for an utterance.

    Raises:
        UserError: the data, or the small files of the model by which rows were chosen, are no longer there.
    """
    limits = load_model_limits(model, language_of_rows=data.language_column is not None)
    found = load_train_and_validation(
        replace(data, max_bad_fraction=1.0, overlap="allow"),
        encoder=limits.encoder,
        sampling_rate_hz=limits.sampling_rate_hz,
        window_s=limits.window_s,
        seed=seed,
    )
    has_own_split = bool(data.eval_split or data.eval_name_or_path) or any(
        one.eval_split or one.eval_name_or_path for one in data.sources
    )
    if has_own_split or data.streaming:
        return samples_by_id(found.validation)
    return samples_by_id(Utterances.together([found.train, found.validation]))
