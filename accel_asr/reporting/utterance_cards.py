"""The utterances to look at and listen to: those with the most errors, and those that changed most."""

from collections.abc import Sequence
from dataclasses import dataclass

from accel_asr.console.printing import percent
from accel_asr.evaluation.comparing import Change, Comparison
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.model.languages import language_name
from accel_asr.reporting.media import Clip, Clips
from accel_asr.reporting.word_marks import MarkedText, ShownText, marked, shown_text
from accel_asr.reporting.wording import count, seconds

MAX_WORST, MAX_IMPROVED, MAX_WORSENED = 20, 10, 5
MAX_ID = 200  # characters


@dataclass(frozen=True)
class Card:
    """One utterance. `before` is its transcript before training, where that is compared; `anchor` is its place.

    `clip_at` is the anchor of an earlier card that has the same recording.
    """

    anchor: str
    utterance_id: str
    told: str
    language: str | None
    now: MarkedText
    before: MarkedText | None
    reference: ShownText
    hypothesis: ShownText
    remarks: list[str]
    clip: Clip | None
    clip_at: str | None
    picture_told: str


def worst_utterances(scored: Sequence[ScoredUtterance], *, most: int = MAX_WORST) -> list[ScoredUtterance]:
    """Those with the most wrong words, as these are what the rate is made of; of equals, the shorter first."""
    wrong = [(one, one.words) for one in scored if one.words is not None and one.words.errors]
    wrong.sort(key=lambda pair: (-pair[1].errors, pair[1].reference_length, pair[0].transcript.utterance_id))
    return [one for one, _ in wrong[:most]]


class CardMaker:
    """Makes the cards of a page in the order of the page; a recording stands in it once."""

    def __init__(self, clips: Clips, *, run_language: str | None) -> None:
        self.clips = clips
        self.language = language_name(run_language) if run_language else None
        self.anchors: dict[str, str] = {}  # utterance id -> the card that has its recording
        self.made = 0

    def of_utterance(self, utterance: ScoredUtterance) -> Card:
        """A card of one transcript."""
        return self._card(utterance, _errors_told(utterance), before=None)

    def of_change(self, change: Change) -> Card:
        """A card of a transcript and the one before training."""
        told = f"{_errors_told(change.after)}; before training {_errors_told(change.before)}"
        return self._card(change.after, told, before=marked(change.before))

    def _card(self, utterance: ScoredUtterance, told: str, *, before: MarkedText | None) -> Card:
        transcript = utterance.transcript
        self.made += 1
        anchor = f"utterance-{self.made}"
        clip_at = self.anchors.get(transcript.utterance_id)
        clip = None
        if clip_at is None and transcript.audio_problem is None:
            clip = self.clips.clip(transcript.utterance_id)
            if clip is not None:
                self.anchors[transcript.utterance_id] = anchor
        remarks = []
        if transcript.cut_off:
            remarks.append("cut off at the length limit")
        if transcript.silent:
            remarks.append("nothing can be heard")
        if transcript.audio_problem is not None:
            remarks.append(f"could not be decoded: {transcript.audio_problem[:MAX_ID]}")
        return Card(
            anchor=anchor,
            utterance_id=transcript.utterance_id[:MAX_ID],
            told=told,
            language=transcript.language or self.language,
            now=marked(utterance),
            before=before,
            reference=shown_text(transcript.reference),
            hypothesis=shown_text(transcript.hypothesis),
            remarks=remarks,
            clip=clip,
            clip_at=clip_at,
            picture_told=f"Log-mel spectrogram of {seconds(clip.played_s if clip else 0)} of the recording "
            f"{transcript.utterance_id[:MAX_ID]}: time from left to right, low sounds below, brighter is louder",
        )


def improved_and_worsened(comparison: Comparison) -> tuple[list[Change], list[Change]]:
    """The few that changed most, of each kind."""
    return comparison.improved[:MAX_IMPROVED], comparison.worsened[:MAX_WORSENED]


def _errors_told(utterance: ScoredUtterance) -> str:
    words = utterance.words
    if words is None:
        return "no words in the reference"
    rate = percent(words.errors / words.reference_length) if words.reference_length else "n/a"
    if words.errors > words.reference_length > 0:
        return f"{words.errors:,} errors, more than the {count(words.reference_length, 'word')} that were said"
    return f"{words.errors:,} wrong of {count(words.reference_length, 'word')} ({rate})"
