"""The sources of a run as its settings name them, and each opened as an index of its rows."""

from dataclasses import asdict, replace
from pathlib import Path

from accel_asr.config.settings import DataConfig, SourceConfig
from accel_asr.console.public_text import last_part
from accel_asr.data.indexing.index_building import open_index
from accel_asr.data.reading.rows import RowColumns
from accel_asr.data.reading.sources import SourceName, parts_of_split, rest_of_split
from accel_asr.data.reading.time_columns import TimeSettings
from accel_asr.data.selection.utterances import Part
from accel_asr.data.text_processing import TextProcessing
from accel_asr.errors import UserError
from accel_asr.files.cache_folder import default_cache_dir
from accel_asr.model.languages import language_name

DEFAULT_VALIDATION_SPLIT = "validation"  # of a source of its own, where no setting names one


def resolved_sources(data: DataConfig) -> list[SourceConfig]:
    """The sources of a run, with what they leave unset taken from `data`; names are made unique."""
    if not data.sources:
        assert data.name_or_path is not None
        only = SourceConfig(
            name_or_path=data.name_or_path,
            subset=data.subset,
            revision=data.revision,
            license=data.license,
            eval_name_or_path=data.eval_name_or_path,
        )
        return [only]
    named: list[SourceConfig] = []
    taken: set[str] = set()
    for source in data.sources:
        name = base = source.name or last_part(source.name_or_path)
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
    validates: bool = False,
    several: bool = False,
    decode_all: bool = False,
) -> tuple[Part, list[str]]:
    """The index of one split of one source, and how its rows are read; and notices for the user.

    Args:
        validates: It is what the source is validated on, which may lie in a file of its own.
        several: The run has several sources, so that their names stand before those of their utterances.

    Raises:
        UserError: as `open_index` raises.
    """
    try:
        index, notices = open_index(
            source_name(data, source, split, validates=validates),
            cache_dir=cache_dir_of(data),
            sampling_rate_hz=sampling_rate_hz,
            channel=data.channel,
            decode_all=decode_all,
        )
    except UserError as error:
        if not validates or source.eval_name_or_path is None:
            raise
        # readers don't know which setting named their source
        raise UserError(str(error).replace("data.name_or_path:", "data.eval_name_or_path:")) from error
    part = Part(
        index,
        TextProcessing(**asdict(data.text)),
        sampling_rate_hz,
        channel=data.channel,
        name=source.name if several else None,
        breakdown_columns=tuple(dict.fromkeys(data.breakdown_columns)),
        language=source.language and language_name(source.language),
        task=source.task,
    )
    return part, [f"{part.prefix.rstrip('/')}: {notice}" if several else notice for notice in notices]


def validation_split(data: DataConfig, source: SourceConfig) -> str | None:
    """The split of a source that is validated on; None where rows are held out."""
    named = source.eval_split or data.eval_split
    return named or (DEFAULT_VALIDATION_SPLIT if source.eval_name_or_path else None)


def training_split(data: DataConfig, source: SourceConfig) -> tuple[str, list[str]]:
    """The split of a source that is trained on, and a notice where it is what another setting leaves of it."""
    split = source.train_split or data.train_split
    validated = source.eval_split or data.eval_split
    is_apart = source.eval_name_or_path is not None or (data.sources and data.eval_name_or_path is not None)
    if validated is None or is_apart or not source.validate or parts_of_split(validated)[0] != split:
        return split, []
    rest = rest_of_split(validated)
    if rest is None:
        return split, []
    return rest, [f"{validated} is a part of {split}, which is trained on: trained on the rest of it, {rest}"]


def source_name(data: DataConfig, source: SourceConfig, split: str, *, validates: bool = False) -> SourceName:
    """Where the rows of one split of a source are, and which of their columns are read."""
    of_its_own = source.eval_name_or_path if validates else None
    return SourceName(
        of_its_own or source.name_or_path,
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
        times=TimeSettings(
            source.start_column or data.start_column,
            source.end_column or data.end_column,
            source.duration_column or data.duration_column,
        ),
        subset=None if of_its_own else source.subset,
        revision=None if of_its_own else source.revision,
        any_lone_split=of_its_own is not None and not (source.eval_split or data.eval_split),
        allow_outside_paths=data.allow_outside_paths,
        audio_root=source.audio_root or data.audio_root,
    )


def cache_dir_of(data: DataConfig) -> Path:
    """Where indexes and caches are kept."""
    return Path(data.cache_dir) if data.cache_dir else default_cache_dir()
