"""A stream to train on, with what is validated on read from it first."""

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
    """A stream to train on; what is validated on is read from it now, and kept in an index like any other source.

    Args:
        window_s: The most the model hears at once; it caps `data.max_duration_s`.

    Raises:
        UserError: as opening shards and preparing utterances raise; or the validation split is the one trained on.
    """
    max_duration_s = min(data.max_duration_s, window_s)
    name = source_name(data, source, data.train_split)
    stream = open_shards(name)
    part, told = _validation_part(data, source, name, stream, sampling_rate_hz=sampling_rate_hz)
    index = part.index
    validation, drops = prepare_utterances(
        part,
        encoder=encoder,
        max_duration_s=max_duration_s,
        max_bad_fraction=data.max_bad_fraction,
        cut_long_labels=data.long_labels == "cut",
    )
    validated = frozenset[str]()
    if data.overlap != "allow":  # what comes is not known before it is there, so that nothing can be refused first
        validated = frozenset(filter(None, (digest_of(one.recording) for one in validation)))
    rows_held = tuple(index.facts["rows_of_shards"]) if data.eval_rows is not None else ()
    notices = [
        *stream.notices,
        *told,
        f"{data.train_split}: streamed from {len(stream)} shards; what is left out is counted while it is trained on",
        "rows of the stream whose recording is validated on are "
        + ("trained on all the same (data.overlap: allow)" if data.overlap == "allow" else "left out, and counted"),
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
    nothing = validation.select(np.zeros(0, dtype=np.int64))
    return RunData(
        nothing,
        validation,
        None,
        summary,
        notices,
        Stream(
            stream,
            rows_held,
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
    """The index of what is validated on: a source of its own, another split of the stream, or its first rows."""
    if source.eval_name_or_path is not None:
        split = validation_split(data, source)
        assert split is not None
        return open_part(data, source, split, sampling_rate_hz=sampling_rate_hz, validates=True)
    if data.eval_split and parts_of_split(data.eval_split)[0] == parts_of_split(data.train_split)[0]:
        raise UserError(
            f"data.eval_split: {data.eval_split!r} is what is trained on, or a part of it; give another split, or hold "
            "out the first rows of the stream with data.eval_rows"
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
    return Part(index, TextProcessing(**asdict(data.text)), sampling_rate_hz, channel=data.channel), []
