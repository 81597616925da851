"""Many recordings, one after another: short neighbours share a batch, long ones go window by window."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from accel_asr.audio.decoding import AudioError, decode
from accel_asr.transcription.inputs import Recording
from accel_asr.transcription.segments import TimedText
from accel_asr.transcription.transcriber import Transcriber


def outcomes(
    transcriber: Transcriber,
    recordings: Sequence[Recording],
    *,
    batch_size: int,
    timed: bool,
    on_progress: Callable[[str], object] = lambda where: None,
) -> Iterator[tuple[int, TimedText | str]]:
    """(index, transcript) of each recording, in order; or why it can't be decoded.

    Args:
        timed: Give short recordings segments with times too.
        on_progress: Gets how far a long recording is, as a line.
    """
    waiting: list[tuple[int, np.ndarray | str]] = []

    def finish() -> Iterator[tuple[int, TimedText | str]]:
        clips = [clip for _, clip in waiting if not isinstance(clip, str)]
        transcripts = iter(transcriber.transcribe_short(clips, timed=timed))
        for index, clip in waiting:
            yield index, clip if isinstance(clip, str) else next(transcripts)
        waiting.clear()

    for index, recording in enumerate(recordings):
        try:
            source = recording.path if recording.path is not None else sys.stdin.buffer.read()
            samples = decode(source, sampling_rate_hz=transcriber.sampling_rate_hz)
        except AudioError as error:
            waiting.append((index, str(error)))
            continue
        if not transcriber.is_long(samples):
            waiting.append((index, samples))
            if sum(not isinstance(clip, str) for _, clip in waiting) == batch_size:
                yield from finish()
            continue
        yield from finish()
        whole_s = len(samples) / transcriber.sampling_rate_hz

        def show(done_s: float, whole_s: float = whole_s, name: str = recording.name) -> None:
            on_progress(f"{Path(name).name}: {_minutes(done_s)} of {_minutes(whole_s)}")

        yield index, transcriber.transcribe_long(samples, on_progress=show)
        on_progress("")
    yield from finish()


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
