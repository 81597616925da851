"""A plan from beginning to end: the models as they are, the ways of training, the answer."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from accelerate import Accelerator

from accel_asr.config.settings import Config
from accel_asr.data.selection.preparation import hours
from accel_asr.errors import UserError, setting_shown_as
from accel_asr.evaluation.evaluation_sets import DatasetName
from accel_asr.evaluation.intervals import paired_difference
from accel_asr.planning.advice import Advice, Finding, advise
from accel_asr.planning.baselines import Baseline, score_baseline
from accel_asr.planning.probing import Probe, probe_way
from accel_asr.planning.sample import Sample, loaded_of, sampled
from accel_asr.planning.ways import ways_of
from accel_asr.run.display import Display
from accel_asr.run.evaluation_job import load_model_and_sets
from accel_asr.run.guards import RunGuards
from accel_asr.run.job import load_job
from accel_asr.transcription.previous_text import keywords_prompt, listed_keywords

LOADING_S = 8.0  # of the first way, beside its steps and evaluation: loading, and the steps that measure memory
NO_SPEECH_SHARE = 0.1  # of the time, for clips without speech
NO_TIME = "no time is left for it; give more --minutes, or a smaller --sample"
SHARE_OF_STEPS = 0.8  # of what that leaves: steps differ in length


def plan_of_run(
    config: Config,
    *,
    models: Sequence[str],
    sample_size: int,
    budget_s: float,
    accelerator: Accelerator,
    say: Callable[[str], object],
) -> dict[str, Any]:
    """What `accel-asr plan` finds for the settings of a run, as values for JSON; rates are fractions.

    Args:
        models: To compare with the run's own.
        budget_s: Seconds that all of it may take; the ways of training share what the models leave.

    Raises:
        UserError: as loading a model and reading data raise.
    """
    began_s = time.perf_counter()
    display = Display(accelerator)
    job = load_job(config, accelerator.device)
    sample = Sample.of_job(job, most=sample_size)
    display.say_lines(job.data.notices)
    keywords = listed_keywords(config.evaluation.keywords)
    prompt = keywords_prompt(keywords) if keywords else None
    name = str(config.model.name_or_path)
    scoring: dict[str, Any] = {
        "accelerator": accelerator,
        "prompt": prompt,
        "no_speech_s": NO_SPEECH_SHARE * budget_s if config.evaluation.no_speech else 0.0,
    }
    own = score_baseline(name, loaded_of(job), sample, **scoring)
    if sample.guards:
        guards = RunGuards(replace(job, guards=sample.guards), None, accelerator, None, display)
        results = guards.score(job.model)
        guards_s = sum(result.seconds for result in results.values())
        own = replace(own, guards=guards.records(results, None), guards_s=guards_s)
    train_hours = None if job.data.stream is not None else hours(job.data.train)
    del job
    others = []
    for other in models:
        with setting_shown_as("--models", setting="--model.name_or_path"):
            of_other = load_job(
                replace(config, model=replace(config.model, name_or_path=other, revision=None)), accelerator.device
            )
        same = replace(sample, utterances=sampled(of_other.data.validation, most=sample_size))
        others.append(score_baseline(other, loaded_of(of_other), same, **scoring))
    probes: list[Probe] = []
    refusals: dict[str, str] = {}
    ways = [*ways_of(config)]
    beside_steps_s = own.evaluation.seconds + LOADING_S  # of the next way, as the ways before it were
    for number, way in enumerate(ways):
        left_s = budget_s - (time.perf_counter() - began_s)
        steps_s = seconds_for_steps(left_s, ways=len(ways) - number, beside_s=beside_steps_s)
        if steps_s < 0 and probes:
            refusals[way.name] = NO_TIME
            continue
        # guards take long: they are scored where they leave half of the time to the steps
        guards_now = own.guards if own.guards_s * SHARE_OF_STEPS < steps_s / 2 else {}
        say(f"{way.name}: {way.meaning}")
        started_s = time.perf_counter()
        try:
            probe = probe_way(
                way,
                sample,
                accelerator=accelerator,
                budget_s=max(steps_s - (own.guards_s if guards_now else 0.0), 0.0),
                evaluation_s=own.seconds_an_utterance,
                guards_s=own.guards_s,
                baseline_guards=guards_now,
                like=probes[0] if probes else None,
            )
            probes.append(probe)
            guards_s = own.guards_s if guards_now else 0.0
            beside_steps_s = max(time.perf_counter() - started_s - probe.steps_took_s - guards_s, beside_steps_s)
        except UserError as error:
            refusals[way.name] = str(error)
    guard_names = [guard.name for guard in sample.guards]
    untried = [way for way, problem in refusals.items() if problem == NO_TIME]
    advice = _advice(own, probes, train_hours=train_hours, guards=guard_names, untried=untried)
    return _record(
        [own, *others],
        advice,
        sample=sample,
        train_hours=train_hours,
        keywords=keywords,
        began_s=began_s,
        probes=probes,
        refusals=refusals,
    )


def seconds_for_steps(left_s: float, *, ways: int, beside_s: float) -> float:
    """How long the steps of the next way may take; negative if there is no time for it.

    As many ways as there is time for share it, the first ones before the later ones.

    Args:
        beside_s: Seconds that a way takes beside its steps.
    """
    affordable = min(ways, int(left_s / beside_s))
    return (left_s / max(affordable, 1) - beside_s) * SHARE_OF_STEPS


def plan_without_training(
    config: Config,
    datasets: Sequence[DatasetName],
    *,
    models: Sequence[str],
    sample_size: int,
    accelerator: Accelerator,
) -> dict[str, Any]:
    """What there is to find where nothing can be trained on: how good the models are, and where they fail.

    Raises:
        UserError: as loading a model and reading data raise.
    """
    began_s = time.perf_counter()
    keywords = listed_keywords(config.evaluation.keywords)
    prompt = keywords_prompt(keywords) if keywords else None
    baselines: list[Baseline] = []
    for name in models:
        loaded, sets, notices = load_model_and_sets(
            replace(config.model, name_or_path=name),
            config.evaluation,
            config.data,
            datasets,
            seed=config.training.seed,
            device=accelerator.device,
        )
        if not baselines:
            Display(accelerator).say_lines(notices)
        sample = Sample(sampled(sets[0].utterances, most=sample_size), ())
        baseline = score_baseline(
            name,
            loaded,
            sample,
            accelerator=accelerator,
            prompt=prompt,
            no_speech_s=math.inf if config.evaluation.no_speech else 0.0,
        )
        baselines.append(baseline)
    advice = _advice(baselines[0], [], train_hours=0.0, guards=[], untried=[])
    return _record(baselines, advice, sample=sample, train_hours=0.0, keywords=keywords, began_s=began_s)


def _record(
    baselines: Sequence[Baseline],
    advice: Advice,
    *,
    sample: Sample,
    train_hours: float | None,
    keywords: Sequence[str],
    began_s: float,
    probes: Sequence[Probe] = (),
    refusals: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """What was found, as values for JSON; the first of `baselines` is the run's own model."""
    return {
        "models": [baseline.record() for baseline in baselines],
        "sample": len(sample.utterances),
        "train_hours": train_hours,
        "keywords": list(keywords),
        "prompt": keywords_prompt(keywords) if keywords else None,
        "ways": [_way_record(probe, baselines[0]) for probe in probes],
        "not_probed": dict(refusals),
        "answer": advice.answer,
        "reasons": advice.reasons,
        "settings": advice.settings,
        "seconds": round(time.perf_counter() - began_s, 1),
    }


def _advice(
    own: Baseline,
    probes: Sequence[Probe],
    *,
    train_hours: float | None,
    guards: Sequence[str],
    untried: Sequence[str],
) -> Advice:
    record = own.evaluation.record()
    return advise(
        wer=record["wer"],
        wer_interval=record["wer_interval"],
        train_hours=train_hours,
        prompted=own.prompt_difference,
        findings=[_finding(probe, own) for probe in probes],
        guards=guards,
        untried=untried,
        settings_of={probe.way.name: probe.way.settings for probe in probes},
    )


def _way_record(probe: Probe, own: Baseline) -> dict[str, Any]:
    """Of a probe, with what its steps changed on the sample."""
    finding = _finding(probe, own)
    change = vars(finding.change) | {"verdict": finding.change.verdict}
    return probe.record() | {"change": change, "loss_change": finding.loss_change}


def _finding(probe: Probe, own: Baseline) -> Finding:
    return Finding(
        probe.way.name,
        change=paired_difference(probe.after.scored, own.evaluation.scored),
        loss_change=probe.after.loss / own.evaluation.loss - 1,
        step_s=probe.step_s,
        fits=probe.largest_micro_batch > 0,
        scored_guards=bool(probe.guards),
        broken=tuple(name for name, guard in probe.guards.items() if not guard["held"]),
    )
