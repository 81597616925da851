"""`evaluation.guards`: what fine-tuning must not make worse."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from accel_asr.errors import UserError

SILENCE = "silence"  # in place of a source: made-up clips without speech
MOST_MARGIN = 100.0
_GUARDS = "--evaluation.guards"


@dataclass(frozen=True)
class GuardConfig:
    """One guard; whatever is unset is as in `data`."""

    name: str | None = None
    """Its name in tables and reports; default is the last part of `name_or_path`."""
    name_or_path: str = ""
    """As `data.name_or_path`: general speech, another language, long recordings; or `silence`, made-up clips without
    speech, whose rate is the share in which words are written. Rows longer than the model's window are transcribed
    from window to window."""
    margin: float = 1.0
    """By how many points its rate may be above the untouched model's: 1 is one word in a hundred."""
    split: str | None = None
    """Its split; default is its validation split, or all of it if it has none."""
    utterances: int | None = None
    """Score only the first N rows."""
    subset: str | None = None
    """As `data.subset`."""
    revision: str | None = None
    """As `data.revision`."""
    audio_column: str | None = None
    """As `data.audio_column`."""
    text_column: str | None = None
    """As `data.text_column`."""
    tier: str | None = None
    """As `data.tier`."""
    speaker: str | None = None
    """As `data.speaker`."""
    start_column: str | None = None
    """As `data.start_column`."""
    end_column: str | None = None
    """As `data.end_column`."""
    duration_column: str | None = None
    """As `data.duration_column`."""
    audio_root: str | None = None
    """As `data.audio_root`, of this guard only."""
    language: str | None = None
    """Language of all its rows, if no column gives it."""
    task: Literal["transcribe", "translate"] | None = None
    """Task of all its rows."""

    @property
    def is_silence(self) -> bool:
        """Whether it is the made-up clips."""
        return self.name_or_path == SILENCE


def guard_errors(guards: Sequence[GuardConfig], *, has_baseline: bool) -> Iterator[UserError]:
    """What is wrong with the list of guards.

    Args:
        has_baseline: The untouched model is scored first.
    """
    for number, guard in enumerate(guards, start=1):
        if not guard.name_or_path:
            remedy = "give a Hub dataset, a folder or a manifest, or silence"
            yield UserError(f"guard {number} has no name_or_path", setting=_GUARDS, remedy=remedy)
        if not 0 <= guard.margin <= MOST_MARGIN:
            remedy = f"give points between 0 and {MOST_MARGIN:g}: 1 is one word in a hundred"
            yield UserError(
                f"the margin of guard {number} is out of range", setting=_GUARDS, value=guard.margin, remedy=remedy
            )
        if guard.utterances is not None and guard.utterances < 1:
            yield UserError(
                f"utterances of guard {number} is out of range",
                setting=_GUARDS,
                value=guard.utterances,
                remedy="give at least 1, or leave it out for all",
            )
        if guard.is_silence:
            yield from _silence_errors(guard, number)
    if guards and not has_baseline:
        yield UserError(
            "does not go with --evaluation.guards, which are held against the untouched model",
            setting="--evaluation.eval_on_start",
            value=False,
            remedy="leave out one of them",
        )


def _silence_errors(guard: GuardConfig, number: int) -> Iterator[UserError]:
    """Settings of a source, which made-up clips do not have."""
    default = GuardConfig()
    for setting in fields(guard):
        value = getattr(guard, setting.name)
        if setting.name not in ("name", "name_or_path", "margin") and value != getattr(default, setting.name):
            yield UserError(
                f"{setting.name} of guard {number} does nothing: {SILENCE} is made up",
                setting=_GUARDS,
                value=value,
                remedy="leave it out",
            )
