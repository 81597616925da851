"""The utterances to look at and listen to: those with the most errors, and those that changed most."""

from collections.abc import Sequence
from dataclasses import dataclass

from accel_asr.console.printing import counted, percent
from accel_asr.evaluation.comparing import Change
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.model.languages import language_name
from accel_asr.reporting.media import Clip, Clips
from accel_asr.reporting.word_marks import MarkedText, ShownText, marked, shown_text
from accel_asr.reporting.wording import seconds

MAX_WORST, MAX_IMPROVED, MAX_WORSENED = 20, 10, 5
MAX_ID = 200  # characters


@dataclass(frozen=True)
class Card:
    """One utterance. `before` is its transcript before training, if the two are compared.

    `anchor` is its place in the page, `clip_at` that of an earlier card with the same recording.
    """

    anchor: str
    utterance_id: str
    errors: str
    language: str | None
    now: MarkedText
    before: MarkedText | None
    reference: ShownText
    hypothesis: ShownText
    remarks: list[str]
    clip: Clip | None
    clip_at: str | None

    @property
    def picture_description(self) -> str:
        """For those who can't see it."""
        played = seconds(self.clip.played_s) if self.clip else "nothing"
        return (
            f"Log-mel spectrogram of {played} of the recording {self.utterance_id}: time from left to right, low "
            "sounds below, brighter is louder"
        )


def worst_utterances(scored: Sequence[ScoredUtterance], *, most: int = MAX_WORST) -> list[ScoredUtterance]:
    """Those with the most wrong words, which the rate is made of; among equals, the shorter first."""
    wrong = [(utterance.words, utterance) for utterance in scored if utterance.words and utterance.words.errors]
    wrong.sort(key=lambda pair: (-pair[0].errors, pair[0].reference_length, pair[1].transcript.utterance_id))
    return [utterance for _, utterance in wrong[:most]]


class CardMaker:
    """Makes the cards of a page, in the page's order; each recording is embedded once."""

    def __init__(self, clips: Clips, *, run_language: str | None) -> None:
        self.clips = clips
        self.language = language_name(run_language) if run_language else None
        self.anchors: dict[str, str] = {}  # utterance id -> the card that has its recording
        self.made = 0

    def of_utterance(self, utterance: ScoredUtterance, *, heading: str | None = None) -> Card:
        """The card of a transcript; its heading says how many words are wrong, unless another is given."""
        return self._card(utterance, heading or _errors(utterance), before=None)

    def of_change(self, change: Change) -> Card:
        """The card of a transcript beside the one before training."""
        errors = f"{_errors(change.after)}; before training {_errors(change.before)}"
        return self._card(change.after, errors, before=marked(change.before))

    def _card(self, utterance: ScoredUtterance, errors: str, *, before: MarkedText | None) -> Card:
        transcript = utterance.transcript
        self.made += 1
        anchor = f"utterance-{self.made}"
        clip_at = self.anchors.get(transcript.utterance_id)
        clip = None
        if clip_at is None and transcript.audio_problem is None:
            clip = self.clips.clip(transcript.utterance_id)
            if clip is not None:
                self.anchors[transcript.utterance_id] = anchor
        remarks = {
            "cut off at the length limit": transcript.cut_off,
            "nothing can be heard": transcript.silent,
            f"could not be decoded: {(transcript.audio_problem or '')[:MAX_ID]}": transcript.audio_problem is not None,
        }
        return Card(
            anchor=anchor,
            utterance_id=transcript.utterance_id[:MAX_ID],
            errors=errors,
            language=transcript.language or self.language,
            now=marked(utterance),
            before=before,
            reference=shown_text(transcript.reference),
            hypothesis=shown_text(transcript.hypothesis),
            remarks=[remark for remark, holds in remarks.items() if holds],
            clip=clip,
            clip_at=clip_at,
        )


def _errors(utterance: ScoredUtterance) -> str:
    words = utterance.words
    if words is None:
        return "no words in the reference"
    said = counted(words.reference_length, "word")
    if words.errors > words.reference_length:
        return f"{words.errors:,} errors, more than the {said} that were said"
    return f"{words.errors:,} wrong of {said} ({percent(words.errors / words.reference_length)})"
