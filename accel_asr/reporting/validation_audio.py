"""The audio of validation utterances by their ids, decoded on request."""

from dataclasses import replace

import numpy as np

from accel_asr.config.settings import DataConfig, ModelConfig
from accel_asr.data.checking.model_limits import load_model_limits
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.splits import load_train_and_validation
from accel_asr.reporting.media import SamplesOf


def samples_by_id(utterances: Utterances) -> SamplesOf:
    """A function from an utterance's id to its samples, int16; it raises KeyError for an unknown id."""
    rows: dict[str, int] = {}  # filled on the first call: a report may need no audio

    def samples_of(utterance_id: str) -> np.ndarray:
        if not rows:
            rows.update((name, row) for row, name in enumerate(utterances.ids()))
        return utterances[rows[utterance_id]].samples()

    return samples_of


def reopen(data: DataConfig, model: ModelConfig, *, seed: int) -> SamplesOf:
    """Open the validation data of a run as the run did; with its index still there, nothing is decoded yet.

    Recordings that have gone since take no others with them. If validation rows were held out of the training data,
    different ones may be held out without those; so all rows are searched for an utterance.

    Raises:
        UserError: the data, or the small files of the model by which rows were chosen, are no longer there.
    """
    limits = load_model_limits(model, language_of_rows=data.language_column is not None)
    splits = load_train_and_validation(
        replace(data, max_bad_fraction=1.0, overlap="allow"),
        encoder=limits.encoder,
        sampling_rate_hz=limits.sampling_rate_hz,
        window_s=limits.window_s,
        seed=seed,
    )
    has_own_split = bool(data.eval_split or data.eval_name_or_path) or any(
        source.eval_split or source.eval_name_or_path for source in data.sources
    )
    if has_own_split or data.streaming:
        return samples_by_id(splits.validation)
    return samples_by_id(Utterances.together([splits.train, splits.validation]))
