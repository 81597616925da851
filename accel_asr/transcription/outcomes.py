"""Many recordings: short neighbours share a batch, and so do the windows of long ones."""

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

    No more are held in memory than are worked on.

    Args:
        batch_size: Recordings at once.
        timed: Give short recordings segments with times too.
        on_progress: Gets how far a long recording is, as a line.
    """
    waiting: list[tuple[int, np.ndarray]] = []
    together = transcriber.together(at_once=batch_size)
    done: dict[int, TimedText | str] = {}
    following = 0

    def finish_short() -> None:
        transcripts = transcriber.transcribe_short([clip for _, clip in waiting], timed=timed)
        done.update(zip((index for index, _ in waiting), transcripts, strict=True))
        waiting.clear()

    def in_order() -> Iterator[tuple[int, TimedText | str]]:
        nonlocal following
        while following in done:
            yield following, done.pop(following)
            following += 1

    for index, recording in enumerate(recordings):
        try:
            source = recording.path if recording.path is not None else sys.stdin.buffer.read()
            samples = decode(source, sampling_rate_hz=transcriber.sampling_rate_hz)
        except AudioError as error:
            done[index] = str(error)
            continue
        is_long = transcriber.is_long(samples)
        if not is_long:
            waiting.append((index, samples))
        if is_long or len(waiting) == batch_size:
            finish_short()
        if is_long:
            whole_s = len(samples) / transcriber.sampling_rate_hz

            def show(done_s: float, whole_s: float = whole_s, name: str = recording.name) -> None:
                on_progress(f"{Path(name).name}: {_minutes(done_s)} of {_minutes(whole_s)}")

            done.update(together.add(index, transcriber.long_audio(samples, on_progress=show)))
        yield from in_order()
    finish_short()
    yield from in_order()
    while together.is_busy:
        done.update(together.step())
        yield from in_order()
    on_progress("")


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
