"""The answer of a plan: a few rules with thresholds, each with its reason in numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accel_asr.console.printing import percent
from accel_asr.evaluation.intervals import Difference
from accel_asr.planning.ways import ADAPTERS, FULL, MERGED

GOOD_ENOUGH = 0.02  # WER: what is left is mostly spelling and noise in the references
LEAST_HOURS = 0.1  # of training audio
LOSS_GAIN = 0.02  # share of the validation loss that the probe's steps must take away to count as learning
NEAR = 0.01  # WER: so near to the best way, a cheaper one is as good

NOTHING, PROMPT = "do nothing", "prompt"


@dataclass(frozen=True)
class Finding:
    """What a probe found, as far as the rules ask.

    Args:
        change: WER after its steps minus the baseline's on the same utterances.
        loss_change: The same of the validation loss, as a share of the baseline's; negative is better.
        step_s: Of the run.
        fits: At least one utterance fits the device.
        broken: Guards above their margin after its steps.
    """

    way: str
    change: Difference
    loss_change: float
    step_s: float
    fits: bool
    broken: tuple[str, ...] = ()
    scored_guards: bool = True

    @property
    def learns(self) -> bool:
        """Whether its steps made the model clearly better, or lowered its loss and made it no worse."""
        if self.change.is_clear:
            return self.change.difference < 0
        return self.loss_change < -LOSS_GAIN


@dataclass(frozen=True)
class Advice:
    """The answer, its reasons as sentences, and the settings that it adds to the run's."""

    answer: str
    reasons: list[str]
    settings: dict[str, Any] = field(default_factory=dict)


def advise(
    *,
    wer: float,
    wer_interval: Sequence[float],
    train_hours: float | None,
    prompted: Difference | None,
    findings: Sequence[Finding],
    guards: Sequence[str],
    untried: Sequence[str] = (),
    settings_of: Mapping[str, Mapping[str, Any]],
) -> Advice:
    """The answer.

    Args:
        wer, wer_interval: Of the run's model as it is.
        train_hours: Of training audio; 0 without training data, None for a stream.
        prompted: WER with the prompt of keywords minus without; None without keywords.
        findings: Of the ways that could be probed.
        guards: Names of those that are set.
        untried: Ways for which there was no time.
        settings_of: What each way adds to the run's settings.
    """
    reasons: list[str] = []
    settings: dict[str, Any] = {}
    helps = prompted is not None and prompted.is_clear and prompted.difference < 0
    if prompted is not None:
        low, high = (100 * bound for bound in prompted.interval)
        reasons.append(
            f"a prompt of your keywords changes the WER by {100 * prompted.difference:+.2f} points ({low:+.2f} to "
            f"{high:+.2f}): {prompted.verdict}"
        )
    if wer_interval[1] <= GOOD_ENOUGH:
        bound = percent(wer_interval[1])
        reasons.append(
            f"the WER is {percent(wer)} (at most {bound}) already: below {percent(GOOD_ENOUGH)}, little is left"
        )
        return Advice(NOTHING, reasons)
    if helps and prompted is not None and wer + prompted.interval[1] <= GOOD_ENOUGH:
        reasons.append("with the prompt little is left to gain")
        return Advice(PROMPT, reasons)
    if train_hours is not None and train_hours < LEAST_HOURS:
        amount = f"{60 * train_hours:.0f} minutes" if train_hours else "nothing"
        reasons.append(
            f"there is {amount} to train on, and below {60 * LEAST_HOURS:.0f} minutes there is little to learn from"
        )
        return Advice(PROMPT if helps else NOTHING, reasons)
    learning = [finding for finding in findings if finding.learns and finding.fits]
    if not learning:
        reasons.append("no way of training lowered the WER or the validation loss in the steps that were tried")
        return Advice(PROMPT if helps else NOTHING, reasons)
    chosen = _chosen(learning)
    reasons += _reasons_of(chosen, learning)
    if untried:
        reasons.append(f"there was no time to try {', '.join(untried)}: give more --minutes to compare them")
    settings = {name: dict(values) for name, values in settings_of.get(chosen.way, {}).items()}
    answer = "adapters" if chosen.way == ADAPTERS else "full" if chosen.way in (FULL, MERGED) else chosen.way
    if chosen.broken:
        reasons.append(
            f"after these steps alone it worsens {', '.join(chosen.broken)} beyond the margin: replay such data "
            "(data.sources with replay: true), and let checkpoint.interpolate look for weights in between"
        )
        answer += ", with replay"
        settings["checkpoint"] = {"interpolate": True}
    elif guards and not chosen.scored_guards:
        reasons.append("there was no time to score the guards after these steps: the run will, with each evaluation")
    elif not guards:
        reasons.append("no guard is set, so nobody will notice what training worsens elsewhere: set evaluation.guards")
    return Advice(answer, reasons, settings)


def _chosen(learning: Sequence[Finding]) -> Finding:
    """The way with the lowest WER, or a cheaper one within NEAR of it; ways that break no guard come first."""
    holding = [finding for finding in learning if not finding.broken] or list(learning)
    lowest = min(finding.change.difference for finding in holding)
    as_good = [finding for finding in holding if finding.change.difference <= lowest + NEAR]
    return min(as_good, key=lambda finding: finding.step_s)


def _reasons_of(chosen: Finding, learning: Sequence[Finding]) -> list[str]:
    low, high = (100 * bound for bound in chosen.change.interval)
    reasons = [
        f"the steps that were tried changed the WER by {100 * chosen.change.difference:+.2f} points ({low:+.2f} to "
        f"{high:+.2f}) and the validation loss by {100 * chosen.loss_change:+.0f}% with {chosen.way}"
    ]
    for other in learning:
        if other is not chosen:
            reasons.append(
                f"{other.way}: {100 * other.change.difference:+.2f} points, and a step takes "
                f"{other.step_s / chosen.step_s:.1f} times as long"
                + (f"; breaks {', '.join(other.broken)}" if other.broken else "")
            )
    return reasons
