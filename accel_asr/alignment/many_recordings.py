"""Many recordings, shared out over the ranks of a launch; one that fails is named, and the others go on."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from accel_asr.alignment.aligned import AlignedRecording
from accel_asr.alignment.aligning import align_recording
from accel_asr.alignment.spoken_texts import SpokenText
from accel_asr.audio.decoding import AudioError, decode
from accel_asr.errors import UserError
from accel_asr.model.folder.generation_settings import is_multilingual
from accel_asr.model.languages import known_language, require_english
from accel_asr.transcription.transcriber import Transcriber


def share_of_rank(spoken: Sequence[SpokenText], *, rank: int, ranks: int) -> list[SpokenText]:
    """The recordings of one rank, in order: the largest files first, each goes to the rank with the fewest bytes."""
    sizes = [_size(one.path) for one in spoken]
    loads = [0] * ranks
    mine: list[int] = []
    for index in sorted(range(len(spoken)), key=lambda index: (-sizes[index], index)):
        least = loads.index(min(loads))
        loads[least] += sizes[index]
        if least == rank:
            mine.append(index)
    return [spoken[index] for index in sorted(mine)]


def aligned_recordings(
    transcriber: Transcriber,
    spoken: Sequence[SpokenText],
    *,
    longest_s: float,
    on_progress: Callable[[SpokenText, float], object] = lambda spoken, share: None,
) -> Iterator[tuple[SpokenText, AlignedRecording | str]]:
    """Each recording with its rows, or with the reason why it can't be aligned, in order.

    Args:
        longest_s: Of a row.
        on_progress: Gets how much of a recording is done, from 0 to 1.
    """
    for one in spoken:
        if one.problem is not None:
            yield one, one.problem
            continue
        try:
            yield one, _aligned(transcriber, one, longest_s=longest_s, on_progress=on_progress)
        except (AudioError, UserError) as error:
            yield one, str(error)


def _aligned(
    transcriber: Transcriber,
    spoken: SpokenText,
    *,
    longest_s: float,
    on_progress: Callable[[SpokenText, float], object],
) -> AlignedRecording:
    samples = decode(
        spoken.path, sampling_rate_hz=transcriber.sampling_rate_hz, start_s=spoken.start_s, end_s=spoken.end_s
    )
    aligned = align_recording(
        _for_language(transcriber, spoken.language),
        samples,
        spoken.text,
        longest_s=longest_s,
        on_progress=lambda share: on_progress(spoken, share),
    )
    return later(aligned, spoken.start_s or 0.0)


def _for_language(transcriber: Transcriber, language: str | None) -> Transcriber:
    """The transcriber for the language that a table gives.

    Raises:
        UserError: the model does not know it.
    """
    if language is None:
        return transcriber
    settings = transcriber.model.generation_config
    if not is_multilingual(settings):
        require_english(language, None, options="")
        return transcriber
    known = getattr(settings, "lang_to_id", None)
    return replace(transcriber, language=known_language(language, known, setting="language"))


def later(aligned: AlignedRecording, seconds: float) -> AlignedRecording:
    """The same alignment of a part that begins `seconds` after the beginning of its recording."""
    if not seconds:
        return aligned
    rows = tuple(
        replace(
            row,
            start_s=row.start_s + seconds,
            end_s=row.end_s + seconds,
            words=tuple(
                replace(word, start_s=word.start_s + seconds, end_s=word.end_s + seconds) for word in row.words
            ),
        )
        for row in aligned.rows
    )
    left_out = tuple(
        replace(stretch, start_s=stretch.start_s + seconds, end_s=stretch.end_s + seconds)
        for stretch in aligned.left_out
    )
    return replace(aligned, rows=rows, left_out=left_out)


def _size(path: Path) -> int:
    """Bytes; 0 for a file that can't be read, which fails soon."""
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
