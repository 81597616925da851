"""Training and validation utterances of a run, with the account of what was kept and what was not."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from accel_asr.config import DataConfig, SourceConfig
from accel_asr.data.holdout import count_to_hold_out, split_first, split_groups, split_random
from accel_asr.data.indexing.cache_folder import default_cache_dir
from accel_asr.data.indexing.index_building import open_index
from accel_asr.data.labels import LabelEncoder, language_code
from accel_asr.data.packing import GAP_S, Packing
from accel_asr.data.preparation import Drops, hours, label_lengths, prepare_utterances
from accel_asr.data.reading.rows import RowColumns
from accel_asr.data.reading.sources import SourceName
from accel_asr.data.streaming.shards import open_shards
from accel_asr.data.streaming.streams import Stream, first_rows
from accel_asr.data.text_processing import TextProcessing
from accel_asr.data.utterances import Part, Utterances
from accel_asr.data.window_plan import shuffled_rows
from accel_asr.errors import UserError


@dataclass(frozen=True)
class RunData:
    """`weights` are those of the training utterances' parts, None without; `summary` is data_summary.json.

    Of a source that is streamed, `train` is empty, and `stream` is what is trained on. `packing` says which training
    utterances may share a window, None where none do.
    """

    train: Utterances
    validation: Utterances
    weights: tuple[float, ...] | None
    summary: dict[str, Any]
    notices: list[str]
    stream: Stream | None = None
    packing: Packing | None = None


def load_train_and_validation(
    data: DataConfig,
    *,
    encoder: LabelEncoder,
    sampling_rate_hz: int,
    window_s: float,
    seed: int,
    pack: bool = False,
) -> RunData:
    """Index, filter, and split. Every rank does it for itself; what one has indexed the others find.

    Args:
        window_s: The most the model hears at once; it caps `data.max_duration_s`.
        pack: Training utterances are to share windows; not with `data.streaming`.

    Raises:
        UserError: as the parts of it raise.
    """
    sources = resolved_sources(data)
    if data.streaming:
        return _load_stream(data, sources[0], encoder, sampling_rate_hz=sampling_rate_hz, window_s=window_s)
    notices: list[str] = []
    rows: dict[str, int] = {}
    all_drops = Drops()

    def prepare(source: SourceConfig, split: str) -> Utterances:
        part, told = open_part(data, source, split, sampling_rate_hz=sampling_rate_hz, several=len(sources) > 1)
        utterances, drops = prepare_utterances(
            part,
            encoder=encoder,
            max_duration_s=min(data.max_duration_s, window_s),
            max_bad_fraction=data.max_bad_fraction,
            cut_long_labels=data.long_labels == "cut",
        )
        label = part.prefix + split
        told.append(f"{label}: kept {len(utterances):,} of {len(part.index):,} utterances; {drops.sentence()}")
        cut = int((label_lengths(part, encoder)[utterances.row_of] > encoder.max_label_tokens).sum())
        if cut:
            told.append(f"{label}: {cut:,} texts are too long for the decoder, and cut at a word")
        notices.extend(notice for notice in told if notice not in notices)
        rows[label] = len(part.index)
        all_drops.merge(drops)
        return utterances

    train = [prepare(source, source.train_split or data.train_split) for source in sources]
    validation = given_validation(data, sources, train, prepare)
    if validation is None:
        train, validation, notice = held_out(data, sources, train, seed=seed)
        notices += notice
    together = Utterances.together(train)
    weights = None
    if len(sources) > 1 and sources[0].weight is not None:
        weights = tuple(float(source.weight or 0) for source in sources)
    summary = {
        "source": {"name_or_path": data.name_or_path, "subset": data.subset, "revision": data.revision},
        "sources": [asdict(source) for source in sources] if len(sources) > 1 else [],
        "text": asdict(data.text),
        "rows": rows,
        "train": _summary(together, encoder),
        "validation": _summary(validation, encoder),
        "dropped": all_drops.summary(),
        "notices": notices,
    }
    packing = None
    if pack:
        packing = Packing.of_utterances(
            together,
            encoder=encoder,
            sampling_rate_hz=sampling_rate_hz,
            window_s=window_s,
            timestamps=data.timestamps_probability > 0,
        )
        rows_of_epoch = shuffled_rows(len(together), together.part_sizes(), weights or (), seed=seed, epoch=0)
        packs = packing.packs(rows_of_epoch)
        share = packing.fill_share(packs)
        summary["packed"] = {
            "windows_of_first_epoch": len(packs),
            "window_s": window_s,
            "gap_s": GAP_S,
            "fill_share": round(share, 4),
        }
        notices.append(
            f"packed {len(rows_of_epoch):,} utterances into {len(packs):,} windows of {window_s:g} s, {share:.0%} full "
            "(the first epoch; each is packed anew): training.per_device_train_batch_size counts these windows"
        )
    return RunData(
        train=together, validation=validation, weights=weights, summary=summary, notices=notices, packing=packing
    )


def _load_stream(
    data: DataConfig, source: SourceConfig, encoder: LabelEncoder, *, sampling_rate_hz: int, window_s: float
) -> RunData:
    """A stream to train on; what is validated on is read from it now, and kept in an index like any other source."""
    max_duration_s = min(data.max_duration_s, window_s)
    if data.eval_split == data.train_split:
        raise UserError(
            f"data.eval_split: {data.eval_split!r} is what is trained on; give another split, or hold out the first "
            "rows of the stream with data.eval_rows"
        )
    name = _source_name(data, source, data.train_split)
    stream = open_shards(name)
    eval_name = name if data.eval_split is None else _source_name(data, source, data.eval_split)
    validating = stream if data.eval_split is None else open_shards(eval_name)
    most = None if data.eval_split is not None else data.eval_rows
    index, _ = open_index(
        eval_name,
        cache_dir=cache_dir_of(data),
        sampling_rate_hz=sampling_rate_hz,
        channel=data.channel,
        read=lambda: first_rows(validating, most),
        purpose=f"the first {most} rows of a stream of checksum {validating.checksum}",
    )
    part = Part(index, TextProcessing(**asdict(data.text)), sampling_rate_hz, channel=data.channel)
    validation, drops = prepare_utterances(
        part,
        encoder=encoder,
        max_duration_s=max_duration_s,
        max_bad_fraction=data.max_bad_fraction,
        cut_long_labels=data.long_labels == "cut",
    )
    rows_held = tuple(index.facts["rows_of_shards"]) if most is not None else ()
    notices = [
        *stream.notices,
        f"{data.train_split}: streamed from {len(stream)} shards; what is left out is counted while it is trained on",
        f"validation: kept {len(validation):,} of {len(index):,} utterances taken from the stream; {drops.sentence()}",
    ]
    summary = {
        "source": {"name_or_path": data.name_or_path, "subset": data.subset, "revision": data.revision},
        "sources": [],
        "text": asdict(data.text),
        "rows": {"validation": len(index)},
        "train": {"shards": len(stream), "streamed": True},
        "validation": _summary(validation, encoder),
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
        ),
    )


def resolved_sources(data: DataConfig) -> list[SourceConfig]:
    """The sources of a run, with what they leave unset taken from `data`; names are made unique."""
    if not data.sources:
        assert data.name_or_path is not None
        only = SourceConfig(
            name_or_path=data.name_or_path, subset=data.subset, revision=data.revision, license=data.license
        )
        return [only]
    named: list[SourceConfig] = []
    taken: set[str] = set()
    for source in data.sources:
        name = base = source.name or Path(source.name_or_path.rstrip("/")).name
        number = 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name)
        named.append(
            replace(
                source,
                name=name,
                subset=source.subset or data.subset,
                revision=source.revision or data.revision,
                license=source.license or data.license,
            )
        )
    return named


def open_part(
    data: DataConfig,
    source: SourceConfig,
    split: str,
    *,
    sampling_rate_hz: int,
    several: bool = False,
    decode_all: bool = False,
) -> tuple[Part, list[str]]:
    """The index of one split of one source, and how its rows are read; and notices for the user.

    Raises:
        UserError: as `open_index` raises.
    """
    index, notices = open_index(
        _source_name(data, source, split),
        cache_dir=cache_dir_of(data),
        sampling_rate_hz=sampling_rate_hz,
        channel=data.channel,
        decode_all=decode_all,
    )
    part = Part(
        index,
        TextProcessing(**asdict(data.text)),
        sampling_rate_hz,
        channel=data.channel,
        name=source.name if several else None,
        breakdown_columns=tuple(dict.fromkeys(data.breakdown_columns)),
        language=source.language and (language_code(source.language) or source.language),
        task=source.task,
    )
    return part, [f"{part.prefix.rstrip('/')}: {notice}" if several else notice for notice in notices]


def _source_name(data: DataConfig, source: SourceConfig, split: str) -> SourceName:
    return SourceName(
        source.name_or_path,
        split=split,
        audio_column=source.audio_column or data.audio_column,
        text_column=source.text_column or data.text_column,
        columns=RowColumns(
            data.group_column,
            data.language_column,
            data.task_column,
            data.prompt_column,
            tuple(dict.fromkeys(data.breakdown_columns)),
        ),
        subset=source.subset,
        revision=source.revision,
        allow_outside_paths=data.allow_outside_paths,
    )


def cache_dir_of(data: DataConfig) -> Path:
    """Where indexes and caches are kept."""
    return Path(data.cache_dir) if data.cache_dir else default_cache_dir()


def given_validation(
    data: DataConfig, sources: list[SourceConfig], train: list[Utterances], prepare: Any
) -> Utterances | None:
    """The validation splits of the sources, where they have any; None where rows are to be held out.

    Raises:
        UserError: as `prepare` raises; the split holds what is trained on; or it is of no source that is validated on.
    """
    if data.eval_split is None and not any(source.eval_split for source in sources):
        return None
    parts = []
    for source, trained in zip(sources, train, strict=True):
        split = source.eval_split or data.eval_split
        if not source.validate or split is None:
            continue
        validation = prepare(source, split)
        if validation.ids() == trained.ids():
            raise UserError(
                f"data.eval_split: {split!r} holds the very utterances of data.train_split="
                f"{source.train_split or data.train_split}, so the source does not tell them apart; set "
                "data.eval_fraction instead"
            )
        parts.append(validation)
    if not parts:
        raise UserError(
            "data.sources: no source that is validated on has an eval_split; give it one, or set its validate to true"
        )
    return Utterances.together(parts)


def held_out(
    data: DataConfig, sources: list[SourceConfig], train: list[Utterances], *, seed: int
) -> tuple[list[Utterances], Utterances, list[str]]:
    """What is left to train on of each source, what is held out of all that are validated on, and notices."""
    numbers = [number for number, source in enumerate(sources) if source.validate]
    together = Utterances.together([train[number] for number in numbers])
    count = len(together)
    notices: list[str] = []
    if data.train_rows is not None:
        held = split_first(count, train_rows=data.train_rows)
    else:
        wanted = count_to_hold_out(count, eval_fraction=data.eval_fraction, eval_rows=data.eval_rows)
        if data.group_column is None:
            held = split_random(count, count=wanted, seed=seed)
        else:
            groups = together.cells("group")
            held, notice = split_groups(groups, together.ids, count=wanted, seed=seed, column=data.group_column)
            notices.append(notice)
    left = list(train)
    for part, number in enumerate(numbers):
        left[number] = train[number].select(~held[together.part_of == part])
        if not len(left[number]):
            raise UserError(
                f"data.sources: all of {sources[number].name!r} is held out for validation, nothing of it is left to "
                "train on; hold out less, or set its validate to false"
            )
    return left, together.select(held), notices


def _summary(utterances: Utterances, encoder: LabelEncoder) -> dict[str, Any]:
    durations_s = utterances.durations_s()
    lengths = utterances.numbers(lambda part: label_lengths(part, encoder))
    return {
        "utterances": len(utterances),
        "hours": round(hours(utterances), 4),
        "shortest_s": round(float(np.min(durations_s)), 3),
        "longest_s": round(float(np.max(durations_s)), 3),
        "longest_label_tokens": int(np.max(lengths)),
    }
