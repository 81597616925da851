"""Of several annotations of one recording that which is read: the first with a tier that holds the text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from accel_asr.data.reading.source_table import first_few
from accel_asr.data.reading.timed_texts.paired_annotations import PairedAnnotations
from accel_asr.data.reading.timed_texts.recording_pairs import Pair
from accel_asr.data.reading.timed_texts.spoken_cues import spoken_cues
from accel_asr.data.reading.timed_texts.tier_choice import TierError, TierSettings, choose_tiers
from accel_asr.data.reading.timed_texts.timed_cues import TimedCue
from accel_asr.errors import UserError


@dataclass
class AnnotationChoice:
    """Which annotation of each recording is read, and which tiers of it.

    Args:
        without_text: Annotations in which no tier, or no single one, has the text, and why.
        unread: Recordings of which no annotation could be used.
        kinds: Of the chosen tiers, by annotations.
        labels: How many labels the chosen tiers have.
    """

    found: PairedAnnotations
    tiers: TierSettings
    pairs: list[Pair] = field(default_factory=list)
    without_text: dict[str, TierError] = field(default_factory=dict)
    unread: list[Pair] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    speakers: Counter[str] = field(default_factory=Counter)
    labels: int = 0

    def of(self, pairs: Sequence[Pair]) -> tuple[Pair, list[TimedCue], Counter[str]] | None:
        """Of the annotations of a recording the first with the text, what is said in it, and why other cues are not."""
        for pair in pairs:
            try:
                chosen = choose_tiers(self.found.cues(pair), self.tiers.tier)
            except TierError as error:
                self.without_text[pair.annotation] = error
                continue
            self.pairs.append(pair)
            self.kinds.update([chosen.kind] if chosen.kind else [])
            self.speakers.update(cue.speaker for cue in chosen.cues if cue.speaker)
            self.labels += len(chosen.cues)
            return pair, *spoken_cues(chosen, speaker=self.tiers.speaker)
        self.unread += pairs
        return None

    def refuse_open(self, folder: Path, *, has_rows: bool) -> None:
        """Refuse annotations in which several tiers may hold the text, and a source without the tier or speaker.

        Raises:
            UserError: lists the tiers or speakers that there are.
        """
        unread = {pair.annotation: self.without_text[pair.annotation] for pair in self.unread}
        listed = {name: error for name, error in unread.items() if error.is_open} or ({} if has_rows else unread)
        if listed:
            name, error = next(iter(listed.items()))
            more = f" ({len(listed) - 1:,} more files are like it)" if len(listed) > 1 else ""
            raise UserError(
                f"{folder / name}: {error}{more}",
                setting="--data.tier",
                value=self.tiers.tier,
                remedy="give one by --data.tier NAME, several by a pattern such as --data.tier 'tx@*', or all by '*'",
            )
        if self.tiers.speaker is not None and not has_rows:
            names = [f"{name!r} ({count:,} labels)" for name, count in self.speakers.most_common()]
            raise UserError(
                f"nobody of that name says anything; the speakers are: {first_few(names, most=50) or 'not named'}",
                setting="--data.speaker",
                value=self.tiers.speaker,
                remedy="give one of them, or a pattern",
            )
