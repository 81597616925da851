"""Training and validation utterances of a run, with what was kept, what was dropped and why."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from accel_asr.config.settings import DataConfig, SourceConfig
from accel_asr.data.joined_segments import joined_segments
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.no_speech_rows import Excerpts, NoSpeechRows
from accel_asr.data.loading.noise_folder import NoiseFolder
from accel_asr.data.order.epoch_order import shuffled_rows
from accel_asr.data.order.packing import GAP_S, Packer, Packing, packs_of_epoch
from accel_asr.data.order.stitching import Stitching
from accel_asr.data.run_data import RunData, summary_of
from accel_asr.data.selection.holdout import count_to_hold_out, split_first, split_groups, split_random
from accel_asr.data.selection.overlap import VALIDATED_ON, settle_overlap
from accel_asr.data.selection.preparation import (
    MAX_EXAMPLES,
    Drops,
    fingerprint,
    label_lengths,
    prepare_utterances,
)
from accel_asr.data.selection.recording_gaps import RecordingGaps
from accel_asr.data.selection.replay import with_replay
from accel_asr.data.selection.run_sources import (
    DEFAULT_VALIDATION_SPLIT,
    open_part,
    resolved_sources,
    training_split,
    validation_split,
)
from accel_asr.data.selection.shared_values import notices_of, shared_values
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.stream_splits import load_stream
from accel_asr.errors import UserError


def load_train_and_validation(
    data: DataConfig,
    *,
    encoder: LabelEncoder,
    sampling_rate_hz: int,
    window_s: float,
    seed: int,
    pack: Literal["recordings"] | bool = False,
    timestamps: bool = False,
    slowest: float = 1.0,
) -> RunData:
    """Index, filter, and split. Every rank calls this; an index that one rank has built is reused by the others.

    Args:
        window_s: The model's window; it caps `data.max_duration_s`.
        pack: Let training utterances share windows, or neighbours of one recording; not with `data.streaming`.
        timestamps: Labels may have times.
        slowest: How many times as long as it was an utterance may become in training; packs leave room for it.

    Raises:
        UserError: a source can't be read or used, or its rows can't be split as the settings say.
    """
    sources = resolved_sources(data)
    if data.streaming:
        return load_stream(data, sources[0], encoder, sampling_rate_hz=sampling_rate_hz, window_s=window_s)
    filtered = _FilteredSources(data, encoder, sampling_rate_hz, window_s, several=len(sources) > 1)
    notices, all_drops = filtered.notices, filtered.drops
    train = []
    for source in sources:
        split, split_notices = training_split(data, source)
        notices += split_notices
        train.append(filtered.prepare(source, split, validates=False))
    validation = given_validation(data, sources, train, filtered.prepare)
    if validation is None:
        train, validation, held_out_notices = held_out(data, sources, train, seed=seed)
        notices += held_out_notices
    settled = settle_overlap(train, validation, overlap=data.overlap)
    for trained, mask in zip(train, settled.left_out, strict=True):
        all_drops.add(VALIDATED_ON, int(mask.sum()), [(name, "") for name in trained.select(mask)[:MAX_EXAMPLES].ids()])
    notices += settled.notices
    weights = None
    kept = settled.train
    if any(source.replay for source in sources):
        kept, weights, replay_notices = with_replay(sources, kept, seed=seed)
        notices += replay_notices
    elif len(sources) > 1 and sources[0].weight is not None:
        weights = tuple(float(source.weight or 0) for source in sources)
    together = Utterances.together(kept)
    shared = shared_values(data, together, validation)
    notices += notices_of(shared, is_held_out=data.eval_fraction is not None or data.eval_rows is not None)
    no_speech = None
    if data.no_speech_fraction:
        no_speech, no_speech_notices = _no_speech_rows(
            data, together, validation, sampling_rate_hz=sampling_rate_hz, window_s=window_s, seed=seed
        )
        notices += no_speech_notices
        if weights is not None:
            weights += (sum(weights) * data.no_speech_fraction / (1 - data.no_speech_fraction),)
    summary = {
        "source": {"name_or_path": data.name_or_path, "subset": data.subset, "revision": data.revision},
        "sources": [asdict(source) for source in sources] if len(sources) > 1 else [],
        "text": asdict(data.text),
        "rows": filtered.rows,
        "train": summary_of(together, encoder),
        "validation": summary_of(validation, encoder),
        **({"no_speech": no_speech.summary()} if no_speech else {}),
        "dropped": all_drops.summary(),
        "overlap": {"recordings": settled.summary, **{values.kind: values.report() for values in shared}},
        "notices": notices,
    }
    run_data = RunData(
        train=together, validation=validation, weights=weights, summary=summary, notices=notices, no_speech=no_speech
    )
    if pack == "recordings":
        run_data = replace(run_data, packing=_stitching(data, run_data, encoder, window_s=window_s / slowest))
    elif pack:
        packing = Packing.of_utterances(
            together,
            encoder=encoder,
            sampling_rate_hz=sampling_rate_hz,
            window_s=window_s,
            timestamps=timestamps,
            slowest=slowest,
        )
        if no_speech:
            packing = packing.with_no_speech(no_speech.durations_s, sampling_rate_hz=sampling_rate_hz)
        run_data = replace(run_data, packing=packing)
    if run_data.packing is not None:
        summary["packed"], notice = _first_packs(run_data.packing, run_data, window_s=window_s, seed=seed)
        notices.append(notice)
    return run_data


def _stitching(data: DataConfig, run_data: RunData, encoder: LabelEncoder, *, window_s: float) -> Stitching:
    stitching = Stitching.of_utterances(
        run_data.train,
        encoder=encoder,
        validation=run_data.validation.parts,
        longest_pause_s=data.longest_pause_s,
        window_s=window_s,
    )
    if not stitching.has_neighbour.any():
        raise UserError(
            f"no row is followed by another of its recording within {data.longest_pause_s:g} s",
            setting="--training.pack",
            value="recordings",
            remedy="give rows a start and an end in their recording (data.start_column, data.end_column), or set it to "
            "true",
        )
    no_speech = run_data.no_speech
    return stitching.with_no_speech(no_speech.durations_s) if no_speech else stitching


def _no_speech_rows(
    data: DataConfig,
    train: Utterances,
    validation: Utterances,
    *,
    sampling_rate_hz: int,
    window_s: float,
    seed: int,
) -> tuple[NoSpeechRows, list[str]]:
    recorded: list[Excerpts] = []
    contents, notices = list[str](), list[str]()
    if data.no_speech_dir is not None:
        folder = NoiseFolder.open(Path(data.no_speech_dir), setting="--data.no_speech_dir")
        recorded.append(folder)
        contents.append(folder.fingerprint)
        notices.append(folder.notice())
    if data.no_speech_gaps:
        gaps = RecordingGaps.between_rows([*train.parts, *validation.parts])
        recorded.append(gaps)
        contents.append(f"{fingerprint(train)} {fingerprint(validation)}")
        notices.append(gaps.notice())
    rows = NoSpeechRows.beside(
        len(train),
        fraction=data.no_speech_fraction,
        longest_s=min(data.max_duration_s, window_s),
        seed=seed,
        sampling_rate_hz=sampling_rate_hz,
        recorded=tuple(recorded),
        content=" ".join(contents),
    )
    return rows, [*notices, rows.notice(data.no_speech_fraction)]


@dataclass
class _FilteredSources:
    """Opens and filters the sources of a run one by one, and counts what was dropped."""

    data: DataConfig
    encoder: LabelEncoder
    sampling_rate_hz: int
    window_s: float
    several: bool  # sources, so that messages name them
    notices: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)  # in each split, before filtering
    drops: Drops = field(default_factory=Drops)

    def prepare(self, source: SourceConfig, split: str, *, validates: bool = True) -> Utterances:
        """The utterances of a split that can be used."""
        part, notices = open_part(
            self.data,
            source,
            split,
            sampling_rate_hz=self.sampling_rate_hz,
            validates=validates,
            several=self.several,
        )
        utterances, drops = prepare_utterances(part, self.data, encoder=self.encoder, window_s=self.window_s)
        label = part.prefix + (DEFAULT_VALIDATION_SPLIT if validates and part.prefix + split in self.rows else split)
        notices.append(f"{label}: kept {len(utterances):,} of {len(part.index):,} utterances; {drops.sentence()}")
        lengths = label_lengths(part, self.encoder)[utterances.row_of]
        if cut := int((lengths > self.encoder.max_label_tokens).sum()):
            notices.append(f"{label}: {cut:,} texts are too long for the decoder, and cut at a word")
        self.notices.extend(notice for notice in notices if notice not in self.notices)
        self.rows[label] = len(part.index)
        self.drops.merge(drops)
        if self.data.join_segments:
            utterances, notice = joined_segments(
                utterances,
                encoder=self.encoder,
                window_s=min(self.window_s, self.data.max_duration_s),
                longest_pause_s=self.data.longest_pause_s,
            )
            self.notices.append(f"{label}: {notice}")
        return utterances


def _first_packs(packing: Packer, data: RunData, *, window_s: float, seed: int) -> tuple[dict[str, Any], str]:
    """How full the windows of the first epoch are, for data_summary.json and as a notice."""
    sizes = data.rows_of_parts()
    rows = shuffled_rows(sum(sizes), sizes, data.weights or (), seed=seed, epoch=0)
    packs = packs_of_epoch(packing, rows, seed=seed, epoch=0)
    share = packing.fill_share(packs)
    how = f"{len(packs):,} windows of {window_s:g} s, {share:.0%} full (the first epoch;"
    counts = "training.per_device_train_batch_size counts these windows"
    summary = {"windows_of_first_epoch": len(packs), "window_s": window_s, "fill_share": round(share, 4)}
    if isinstance(packing, Stitching):
        alone = int((~packing.has_neighbour).sum())
        others = f"; {alone:,} have no neighbour, and a window each" if alone else ""
        return summary, f"stitched {len(rows):,} utterances to {how} each cuts at other places{others}): {counts}"
    return summary | {
        "gap_s": GAP_S
    }, f"packed {len(rows):,} utterances into {how} each packs others together): {counts}"


def given_validation(
    data: DataConfig, sources: list[SourceConfig], train: list[Utterances], prepare: Any
) -> Utterances | None:
    """The validation splits of the sources, where they have any; None where rows are to be held out.

    Args:
        prepare: `prepare(source, split)` reads and filters one split.

    Raises:
        UserError: as `prepare` raises; a split holds what is trained on; or no source has a split to validate on.
    """
    if data.sources and data.eval_name_or_path is not None:
        only = SourceConfig(name="validation", eval_name_or_path=data.eval_name_or_path)
        return prepare(only, data.eval_split or DEFAULT_VALIDATION_SPLIT)
    if not any(validation_split(data, source) for source in sources):
        return None
    parts = []
    for source, trained in zip(sources, train, strict=True):
        split = validation_split(data, source)
        if not source.validate or split is None:
            continue
        validation = prepare(source, split)
        if validation.ids() == trained.ids() and _checksums(validation) == _checksums(trained):
            if source.eval_name_or_path is not None:
                raise UserError(
                    "holds the same utterances that are trained on",
                    setting="--data.eval_name_or_path",
                    value=source.eval_name_or_path,
                    remedy="give another file, or hold some of them out with --data.eval_fraction",
                )
            raise UserError(
                f"holds the same utterances as data.train_split={source.train_split or data.train_split}, so the "
                "source has no such split",
                setting="--data.eval_split",
                value=split,
                remedy="set data.eval_fraction instead, or data.eval_name_or_path if they are in a file of their own",
            )
        parts.append(validation)
    if not parts:
        raise UserError(
            "no source that is validated on has an eval_split or eval_name_or_path",
            setting="--data.sources",
            remedy="give one of them a split, or set its validate to true",
        )
    return Utterances.together(parts)


def held_out(
    data: DataConfig, sources: list[SourceConfig], train: list[Utterances], *, seed: int
) -> tuple[list[Utterances], Utterances, list[str]]:
    """What remains to train on of each source, what is held out of those that are validated on, and notices.

    Raises:
        UserError: the settings ask for none or for all rows; or all rows of one source are held out.
    """
    numbers = [number for number, source in enumerate(sources) if source.validate]
    together = Utterances.together([train[number] for number in numbers])
    count = len(together)
    notices: list[str] = []
    if data.train_rows is not None:
        is_held_out = split_first(count, train_rows=data.train_rows)
    else:
        wanted = count_to_hold_out(count, eval_fraction=data.eval_fraction, eval_rows=data.eval_rows)
        if data.group_column is None:
            is_held_out = split_random(count, count=wanted, seed=seed)
        else:
            groups = together.cells("group")
            is_held_out, notice = split_groups(groups, together.ids, count=wanted, seed=seed, column=data.group_column)
            notices.append(notice)
    remaining = list(train)
    for part, number in enumerate(numbers):
        remaining[number] = train[number].select(~is_held_out[together.part_of == part])
        if not len(remaining[number]):
            raise UserError(
                f"all of {sources[number].name!r} is held out for validation, nothing of it is left to train on",
                setting="--data.sources",
                remedy="hold out less, or set its validate to false",
            )
    return remaining, together.select(is_held_out), notices


def _checksums(utterances: Utterances) -> list[int]:
    return [part.index.facts["checksum"] for part in utterances.parts]
