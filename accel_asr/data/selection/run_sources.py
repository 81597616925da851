"""The sources that the settings name, and the index of each."""

from dataclasses import asdict, replace
from itertools import chain, count
from pathlib import Path

from accel_asr.config.settings import DataConfig, SourceConfig
from accel_asr.console.public_text import last_part
from accel_asr.data.indexing.index_building import open_index
from accel_asr.data.reading.crossed_columns import single_columns
from accel_asr.data.reading.rows import RowColumns
from accel_asr.data.reading.sources import SourceName, parts_of_split, rest_of_split
from accel_asr.data.reading.time_columns import TimeSettings
from accel_asr.data.reading.timed_texts.tier_choice import TierSettings
from accel_asr.data.selection.utterances import Part
from accel_asr.data.text_processing import TextProcessing
from accel_asr.errors import setting_shown_as
from accel_asr.files.cache_folder import default_cache_dir
from accel_asr.model.languages import language_name

DEFAULT_VALIDATION_SPLIT = "validation"  # of `eval_name_or_path`, where no setting names a split


def resolved_sources(data: DataConfig) -> list[SourceConfig]:
    """The sources of a run, with unset fields taken from `data`; names are made unique."""
    if not data.sources:
        assert data.name_or_path is not None
        only = SourceConfig(name_or_path=data.name_or_path, eval_name_or_path=data.eval_name_or_path)
        return [_with_defaults(only, data)]
    resolved: list[SourceConfig] = []
    taken: set[str] = set()
    for source in data.sources:
        base = source.name or last_part(source.name_or_path)
        names = chain([base], (f"{base}-{number}" for number in count(2)))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        validate = source.validate and not source.replay
        resolved.append(_with_defaults(replace(source, name=name, validate=validate), data))
    return resolved


def _with_defaults(source: SourceConfig, data: DataConfig) -> SourceConfig:
    return replace(
        source,
        subset=source.subset or data.subset,
        revision=source.revision or data.revision,
        license=source.license or data.license,
    )


def open_part(
    data: DataConfig,
    source: SourceConfig,
    split: str,
    *,
    sampling_rate_hz: int,
    validates: bool = False,
    several: bool = False,
    decode_all: bool = False,
) -> tuple[Part, list[str]]:
    """The index of one split of one source with how to read its rows, and notices for the user.

    Args:
        validates: The split is validated on; it may be in a file of its own, `eval_name_or_path`.
        several: The run has several sources, so utterance ids start with the source's name.

    Raises:
        UserError: as `open_index` raises.
    """
    # readers don't know which setting named their source
    asked_by = "eval_name_or_path" if validates and source.eval_name_or_path is not None else "name_or_path"
    with setting_shown_as(f"--data.{asked_by}", setting="--data.name_or_path"):
        index, notices = open_index(
            source_name(data, source, split, validates=validates),
            cache_dir=cache_dir_of(data),
            sampling_rate_hz=sampling_rate_hz,
            channel=data.channel,
            decode_all=decode_all,
        )
    text = TextProcessing(**asdict(data.text))
    if index.facts["has_times"]:
        text = replace(text, written_times="read")
    part = Part(
        index,
        text,
        sampling_rate_hz,
        channel=data.channel,
        name=source.name if several else None,
        breakdown_columns=tuple(dict.fromkeys(data.breakdown_columns)),
        has_keywords=data.keywords_column is not None,
        reference_columns=tuple(dict.fromkeys(data.reference_columns)),
        group_column=None if data.group_column in (data.text_column, source.text_column) else data.group_column,
        language=source.language and language_name(source.language),
        task=source.task,
    )
    return part, [f"{part.prefix.rstrip('/')}: {notice}" if several else notice for notice in notices]


def settings_of_other_rows(data: DataConfig, name_or_path: str) -> DataConfig:
    """How rows are read that are neither trained nor validated on: as in `data`, but for what is about its own rows."""
    return replace(
        data,
        name_or_path=name_or_path,
        sources=[],
        subset=None,
        revision=None,
        license=None,
        eval_split=None,
        eval_name_or_path=None,
        group_column=None,
        task_column=None,
        prompt_column=None,
        breakdown_columns=[],
        keywords_column=None,
        reference_columns=[],
        audio_root=None,
        tier=None,
        speaker=None,
        streaming=False,
    )


def validation_split(data: DataConfig, source: SourceConfig) -> str | None:
    """The split of a source that is validated on; None where rows are held out."""
    return source.eval_split or data.eval_split or (DEFAULT_VALIDATION_SPLIT if source.eval_name_or_path else None)


def training_split(data: DataConfig, source: SourceConfig) -> tuple[str, list[str]]:
    """The split of a source that is trained on; without the part of it that is validated on, and a notice of that."""
    split = source.train_split or data.train_split
    validated = source.eval_split or data.eval_split
    is_apart = source.eval_name_or_path is not None or (data.sources and data.eval_name_or_path is not None)
    if validated is None or is_apart or not source.validate or parts_of_split(validated)[0] != split:
        return split, []
    rest = rest_of_split(validated)
    if rest is None:
        return split, []
    return rest, [f"{validated} is a part of {split}, so training uses the rest: {rest}"]


def source_name(data: DataConfig, source: SourceConfig, split: str, *, validates: bool = False) -> SourceName:
    """Where the rows of one split of a source are, and which of their columns are read."""
    own_file = source.eval_name_or_path if validates else None
    return SourceName(
        own_file or source.name_or_path,
        split=split,
        audio_column=source.audio_column or data.audio_column,
        text_column=source.text_column or data.text_column,
        columns=RowColumns(
            data.group_column,
            data.language_column,
            data.task_column,
            data.prompt_column,
            (*single_columns(data.breakdown_columns), *filter(None, [data.keywords_column])),
            tuple(dict.fromkeys(data.reference_columns)),
        ),
        times=TimeSettings(
            source.start_column or data.start_column,
            source.end_column or data.end_column,
            source.duration_column or data.duration_column,
        ),
        subset=None if own_file else source.subset,
        revision=None if own_file else source.revision,
        any_lone_split=own_file is not None and not (source.eval_split or data.eval_split),
        allow_outside_paths=data.allow_outside_paths,
        audio_root=source.audio_root or data.audio_root,
        tiers=TierSettings(source.tier or data.tier, source.speaker or data.speaker),
    )


def cache_dir_of(data: DataConfig) -> Path:
    """Where indexes and caches are kept."""
    return Path(data.cache_dir) if data.cache_dir else default_cache_dir()
