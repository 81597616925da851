"""Align a recording of any length with its plain text."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from accel_asr.alignment.aligned import AlignedRecording, AlignedRow, LeftOut
from accel_asr.alignment.cutting import cut
from accel_asr.alignment.forcing import force
from accel_asr.alignment.pauses import Pauses, words_around_pauses
from accel_asr.alignment.script import FASTEST, Script, letters_of, write_script
from accel_asr.transcription.segments import TimedText, Word, joined, split_words
from accel_asr.transcription.transcriber import Transcriber

LONGEST_ROW_S = 30.0
UNLIKELY = 0.01  # mean probability of words that are not what is said
FEWEST_WORDS = 4
_AROUND_S = 1.0  # the pauses before the first and after the last word are looked for so far away


def align_recording(
    transcriber: Transcriber,
    samples: np.ndarray,
    text: str,
    *,
    longest_s: float = LONGEST_ROW_S,
    on_progress: Callable[[float], object] = lambda share: None,
) -> AlignedRecording:
    """Rows of at most `longest_s` with the words of `text` that are said, and what did not fit.

    The model transcribes the recording. The words of text and transcript are matched, so that it is known which are
    said and roughly when; then they are forced upon the model, window by window, for their exact times.

    Args:
        samples: float32, mono, at the model's rate, shape (samples,).
        on_progress: Gets how much is done, from 0 to 1.
    """
    duration_s = len(samples) / transcriber.sampling_rate_hz
    words = split_words(text)
    whole_s = max(duration_s, 1e-9)
    if transcriber.is_long(samples):
        heard = transcriber.transcribe_long(samples, on_progress=lambda done_s: on_progress(0.7 * done_s / whole_s))
    else:
        heard = transcriber.transcribe_short([samples], timed=True)[0]
    script = write_script(words, heard.segments, duration_s=duration_s)
    timed = force(
        transcriber,
        samples,
        script.words,
        language=heard.language,
        on_progress=lambda done_s: on_progress(0.7 + 0.3 * done_s / whole_s),
    )
    pauses = Pauses.of_samples(samples, sampling_rate_hz=transcriber.sampling_rate_hz)
    rows, left_out = _rows(words, script, timed, pauses, heard, longest_s=longest_s)
    return AlignedRecording(
        duration_s=duration_s,
        language=heard.language,
        rows=tuple(rows),
        left_out=tuple(left_out),
        words_in_rows=sum(len(row.words) for row in rows),
        words_in_text=len(words),
    )


def _rows(
    words: Sequence[str],
    script: Script,
    timed: Sequence[Word],
    pauses: Pauses,
    heard: TimedText,
    *,
    longest_s: float,
) -> tuple[list[AlignedRow], list[LeftOut]]:
    duration_s = heard.duration_s
    rows: list[AlignedRow] = []
    left_out: list[LeftOut] = []
    stretches = [list(stretch) for stretch in _stretches(script, timed)]
    for number, stretch in enumerate(stretches):
        spoken = [timed[index] for index in stretch]
        begin_s, end_s = spoken[0].start_s, spoken[-1].end_s
        said = joined([word.text for word in spoken])
        if script.words[stretch[0]].place is None:
            left_out.append(LeftOut("speech", begin_s, end_s, said))
            continue
        if probability(spoken) < UNLIKELY and len(spoken) >= FEWEST_WORDS:
            left_out.append(LeftOut("text", begin_s, end_s, said))
            left_out += _heard_between(heard, begin_s, end_s)
            continue
        earliest = timed[stretches[number - 1][-1]].end_s if number else 0.0
        latest = timed[stretches[number + 1][0]].start_s if number + 1 < len(stretches) else duration_s
        limits = max(min(earliest, begin_s), begin_s - _AROUND_S), min(max(latest, end_s), end_s + _AROUND_S)
        spoken = words_around_pauses(spoken, pauses, begin_s=limits[0], end_s=limits[1])
        previous = None
        for part in cut(spoken, begin_s=limits[0], end_s=limits[1], longest_s=longest_s):
            inside = tuple(spoken[part.words.start : part.words.stop])
            row_text = joined([word.text for word in inside])
            if len(letters_of(row_text)) > FASTEST * (part.end_s - part.start_s):
                left_out.append(LeftOut("text", inside[0].start_s, inside[-1].end_s, row_text))
                previous = None
                continue
            rows.append(
                AlignedRow(
                    start_s=round(max(part.start_s, 0.0), 3),
                    end_s=round(min(part.end_s, duration_s), 3),
                    text=row_text,
                    previous_text=previous,
                    score=round(probability(inside), 4),
                    words=inside,
                )
            )
            previous = row_text
    for places in script.unsaid:
        at_s = _where(places, script, timed)
        left_out.append(LeftOut("text", at_s, at_s, joined([words[place] for place in places])))
    return rows, sorted(left_out, key=lambda stretch: (stretch.start_s, stretch.end_s))


def probability(words: Sequence[Word]) -> float:
    """The geometric mean of the words' probabilities."""
    return math.exp(sum(math.log(max(word.probability, 1e-6)) for word in words) / len(words))


def _stretches(script: Script, timed: Sequence[Word]) -> list[list[int]]:
    """Runs of words that stand together in the text, or are heard only."""
    stops = {places.stop for places in script.unsaid}

    def breaks(number: int) -> bool:
        word, before = script.words[number], script.words[number - 1]
        return (word.place is None) != (before.place is None) or word.place in stops

    runs: list[list[int]] = []
    for number in range(len(timed)):
        if not number or breaks(number):
            runs.append([])
        runs[-1].append(number)
    return runs


def _heard_between(heard: TimedText, begin_s: float, end_s: float) -> list[LeftOut]:
    """The segments that lie in this stretch with their greater part, as speech without text."""
    inside = [
        part
        for part in heard.segments
        if min(part.end_s, end_s) - max(part.start_s, begin_s) > (part.end_s - part.start_s) / 2
    ]
    if not inside:
        return []
    return [LeftOut("speech", inside[0].start_s, inside[-1].end_s, joined([part.text for part in inside]))]


def _where(places: range, script: Script, timed: Sequence[Word]) -> float:
    """Where text that is not said would stand: at the end of the last word before it."""
    before = [
        number for number, word in enumerate(script.words) if word.place is not None and word.place < places.start
    ]
    return timed[before[-1]].end_s if before else 0.0
