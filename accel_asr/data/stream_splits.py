"""A stream to train on, with its validation rows read first."""

from dataclasses import asdict

import numpy as np

from accel_asr.config.settings import DataConfig, SourceConfig
from accel_asr.data.indexing.index_building import open_index
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.reading.sources import SourceName, parts_of_split
from accel_asr.data.run_data import RunData, summary_of
from accel_asr.data.selection.preparation import prepare_utterances
from accel_asr.data.selection.run_sources import cache_dir_of, open_part, source_name, validation_split
from accel_asr.data.selection.utterances import Part
from accel_asr.data.streaming.shards import Shards, open_shards
from accel_asr.data.streaming.streams import Stream, digest_of, first_rows
from accel_asr.data.text_processing import TextProcessing
from accel_asr.errors import UserError


def load_stream(
    data: DataConfig, source: SourceConfig, encoder: LabelEncoder, *, sampling_rate_hz: int, window_s: float
) -> RunData:
    """A stream to train on; validation rows are read now and indexed like those of any other source.

    Args:
        window_s: The model's window; it caps `data.max_duration_s`.

    Raises:
        UserError: as opening shards and preparing utterances raise; or the validation split is the training split.
    """
    max_duration_s = min(data.max_duration_s, window_s)
    name = source_name(data, source, data.train_split)
    stream = open_shards(name)
    part, part_notices = _validation_part(data, source, name, stream, sampling_rate_hz=sampling_rate_hz)
    index = part.index
    validation, drops = prepare_utterances(part, data, encoder=encoder, window_s=window_s)
    validated = frozenset[str]()
    if data.overlap != "allow":  # rows of a stream aren't known in advance, so they can be dropped but not refused
        validated = frozenset(filter(None, (digest_of(utterance.recording) for utterance in validation)))
    held_out = tuple(index.facts["rows_of_shards"]) if data.eval_rows is not None else ()
    notices = [
        *stream.notices,
        *part_notices,
        f"{data.train_split}: streamed from {len(stream)} shards; dropped rows are counted during training",
        "rows of the stream whose recording is validated on are "
        + ("trained on anyway (data.overlap: allow)" if data.overlap == "allow" else "dropped, and counted"),
        f"validation: kept {len(validation):,} of {len(index):,} utterances; {drops.sentence()}",
    ]
    summary = {
        "source": {"name_or_path": data.name_or_path, "subset": data.subset, "revision": data.revision},
        "sources": [],
        "text": asdict(data.text),
        "rows": {"validation": len(index)},
        "train": {"shards": len(stream), "streamed": True},
        "validation": summary_of(validation, encoder),
        "dropped": drops.summary(),
        "notices": notices,
    }
    return RunData(
        train=validation.select(np.zeros(0, dtype=np.int64)),
        validation=validation,
        weights=None,
        summary=summary,
        notices=notices,
        stream=Stream(
            stream,
            held_out,
            data.streaming_block_rows,
            part.text,
            max_duration_s,
            channel=data.channel,
            cut_long_labels=data.long_labels == "cut",
            validated=validated,
        ),
    )


def _validation_part(
    data: DataConfig, source: SourceConfig, name: SourceName, stream: Shards, *, sampling_rate_hz: int
) -> tuple[Part, list[str]]:
    """The index of the validation rows: another source, another split of the stream, or the stream's first rows."""
    if source.eval_name_or_path is not None:
        split = validation_split(data, source)
        assert split is not None
        return open_part(data, source, split, sampling_rate_hz=sampling_rate_hz, validates=True)
    if data.eval_split and parts_of_split(data.eval_split)[0] == parts_of_split(data.train_split)[0]:
        raise UserError(
            "is the split that is trained on, or a part of it",
            setting="--data.eval_split",
            value=data.eval_split,
            remedy="give another split, or hold out the first rows of the stream with data.eval_rows",
        )
    if data.eval_split is not None:
        name = source_name(data, source, data.eval_split)
        stream = open_shards(name)
    most = None if data.eval_split is not None else data.eval_rows
    index, _ = open_index(
        name,
        cache_dir=cache_dir_of(data),
        sampling_rate_hz=sampling_rate_hz,
        channel=data.channel,
        read=lambda: first_rows(stream, most),
        purpose=f"the first {most} rows of a stream of checksum {stream.checksum}",
    )
    part = Part(
        index,
        TextProcessing(**asdict(data.text)),
        sampling_rate_hz,
        channel=data.channel,
        breakdown_columns=tuple(dict.fromkeys(data.breakdown_columns)),
        reference_columns=tuple(dict.fromkeys(data.reference_columns)),
    )
    return part, []
