"""A model card from what a run recorded, and nothing else."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from accel_asr.config.cross_checks import is_hub_name
from accel_asr.console.public_text import public, shortened, visible_lines
from accel_asr.errors import UserError
from accel_asr.evaluation.breakdowns import PartScore, breakdowns
from accel_asr.evaluation.comparing import compare
from accel_asr.evaluation.hallucinations import find_hallucinations
from accel_asr.evaluation.run_files import (
    context_in_words,
    read_record,
    read_scored,
    translation_in_words,
    weights_in_words,
)
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.model.languages import language_name
from accel_asr.model.parts import parameters_in_words
from accel_asr.publishing.upload_plan import PICTURES_DIR, pictures_of
from accel_asr.run.best_rule import candidates, price_of_guards

TEMPLATE = Path(__file__).parent / "model_card_template.md"
RATES = ("wer", "wer_ortho", "cer")
UNIMPORTANT_SETTINGS = ("dataloader_num_workers", "ddp_timeout")  # no number depends on them
TECHNIQUES = ("early_stopping_threshold", "label_smoothing_factor", "gradient_checkpointing")  # shown where in use
MOST_PARTS = 15
MOST_REPLACEMENTS = 50
LONGEST_CELL = 80  # characters of a value from the data


def make_model_card(run_dir: Path, *, hub_model_id: str, adapter: bool = False) -> ModelCard:
    """The card of `run_dir/best`: how to use it, data, hyperparameters and scores, the latter as `model-index` too.

    Args:
        adapter: It is for `best_adapter` instead.

    Raises:
        UserError: a file of the run is damaged.
    """
    config, summary, data, environment = (
        read_record(run_dir / name) for name in ("config.yaml", "summary.json", "data_summary.json", "environment.json")
    )
    best, baseline = summary["best"], summary.get("baseline")
    sources = _sources(config["data"])
    dataset = ", ".join(source["name_or_path"] for source in sources)
    subset = config["data"]["subset"]
    languages = _languages(config, best)
    scored = _transcripts(run_dir, best)
    card = ModelCard.from_template(
        _metadata(config, sources, best, languages, hub_model_id=hub_model_id, adapter=adapter),
        template_path=str(TEMPLATE),
        hub_model_id=hub_model_id,
        adapter=adapter,
        base_model_is_on_hub=_is_on_hub(config["model"]["name_or_path"]),
        base_model_name=config["model"]["name_or_path"],
        base_model_revision=config["model"]["revision"],
        dataset_title=dataset + (f", {subset}" if subset else ""),
        languages=", ".join(languages),
        stand_ins=_stand_ins(config, languages),
        task=config["model"]["task"],
        longest_s=_longest_s(run_dir, config["data"]["max_duration_s"]),
        data=data,
        sources=sources,
        text_processing=_text_processing(config["data"]["text"]),
        scores=_score_rows(summary),
        average=weights_in_words(best) if "weights" in best else None,
        alpha=best.get("alpha"),
        step=best["step"],
        difference=_difference(_transcripts(run_dir, baseline), scored),
        translation=translation_in_words(best),
        guards=_guard_rows(summary),
        price_of_guards=price_of_guards(summary),
        parts=_part_rows(scored, without=config["data"]["group_column"]),
        limits=_limits(best, scored),
        evaluation=config["evaluation"],
        context=context_in_words(best),
        pictures=[f"{PICTURES_DIR}/{path.name}" for path in pictures_of(run_dir)],
        hyperparameters=_hyperparameters(config, environment),
        environment=environment,
        command=public(shlex.join(environment["command"])),
        more_errors_than_words=any((record["wer"] or 0.0) > 1 for record in summary.values()),
    )
    card.content = visible_lines(card.content)  # names of files, columns and all
    return card


def _metadata(
    config: dict[str, Any],
    sources: Sequence[Mapping[str, Any]],
    best: dict[str, Any],
    languages: Sequence[str],
    *,
    hub_model_id: str,
    adapter: bool,
) -> ModelCardData:
    on_hub = [source["name_or_path"] for source in sources if _is_on_hub(source["name_or_path"])]
    data, normalizer = config["data"], config["evaluation"]["normalizer"]
    names = (f"WER ({normalizer} normaliser)", "WER (orthographic)", f"CER ({normalizer} normaliser)")
    results = [
        EvalResult(
            task_type="automatic-speech-recognition",
            dataset_type=on_hub[0] if len(on_hub) == len(sources) == 1 else "local",
            dataset_name=", ".join(source["name_or_path"] for source in sources),
            dataset_config=data["subset"],
            dataset_split=_validation(data),
            dataset_revision=data["revision"],
            metric_type=key[:3],
            metric_name=name,
            metric_value=round(100 * best[key], 3),
        )
        for key, name in zip(RATES, names, strict=True)
        if _is_number(best[key])
    ]
    base_model = config["model"]["name_or_path"]
    based: dict[str, str] = {}
    if _is_on_hub(base_model):
        based["base_model"] = base_model
        if _trained_adapters(config):  # of other models the Hub takes `finetune` for granted
            based["base_model_relation"] = "adapter" if adapter else "finetune"
    return ModelCardData(
        language=list(languages) if len(languages) > 1 else languages[0],
        license=config["hub"].get("license"),
        library_name="peft" if adapter else "transformers",
        pipeline_tag="automatic-speech-recognition",
        tags=["whisper", "accel-asr", *(["lora"] if adapter else [])],
        metrics=["wer", "cer"],
        **based,
        datasets=on_hub or None,
        model_name=hub_model_id,
        eval_results=results or None,
    )


def _trained_adapters(config: Mapping[str, Any]) -> bool:
    """Whether adapters were trained, and not the model's own weights."""
    return bool(config.get("lora", {}).get("enabled"))


def _transcripts(run_dir: Path, record: Mapping[str, Any] | None) -> list[ScoredUtterance]:
    """Those of an evaluation; none if they are missing or of another version: the card can do without."""
    try:
        return read_scored(run_dir, record) if record is not None else []
    except UserError:
        return []


def _validation(data: Mapping[str, Any]) -> str:
    """What was validated on, in a word or two."""
    if data.get("eval_name_or_path"):
        return Path(data["eval_name_or_path"]).name
    return data["eval_split"] or f"{data['train_split']} (held out)"


def _is_on_hub(name: str) -> bool:
    return is_hub_name(name) and not Path(name).exists() and not name.startswith((".", "~"))


def _sources(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Each source, with what it leaves unset taken from `data`; `license` is None if it was not stated."""
    names = ("name_or_path", "subset", "revision", "license")
    return [
        {name: value and public(str(value)) for name in names for value in [source.get(name) or data.get(name)]}
        | {"replay": f"{source['weight']:.0%}" if source.get("replay") else None}
        for source in data["sources"] or [data]
    ]


def _languages(config: dict[str, Any], best: dict[str, Any]) -> list[str]:
    """Those of the rows, or else the run's."""
    of_rows = [language for language in best.get("by_language", {}) if language != "unset"]
    return sorted(of_rows) or [language_name(config["model"]["language"] or "en")]


def _stand_ins(config: dict[str, Any], languages: Sequence[str]) -> list[tuple[str, str]]:
    """(language without a token of its own, the language whose token it uses)."""
    stand_ins = config["model"].get("language_stand_ins", {}).items()
    named = [(language_name(language), language_name(other)) for language, other in stand_ins]
    return [(language, other) for language, other in named if language in languages]


def _text_processing(text: dict[str, Any]) -> str:
    """What was done to every text, training and validation, in words."""
    replaced = [f"replaced {old!r} by {new!r}" for old, new in text["replacements"].items()]
    steps = [shortened(step, 2 * LONGEST_CELL) for step in replaced[:MOST_REPLACEMENTS]]
    optional = {
        f"{len(replaced) - MOST_REPLACEMENTS:,} more replacements": len(replaced) > MOST_REPLACEMENTS,
        "times written in them taken out": text.get("written_times") == "read",
        "punctuation removed": text["remove_punctuation"],
        "lower case": text["lowercase"],
    }
    return "; ".join(steps + [step for step, holds in optional.items() if holds]) or "none"


def _hyperparameters(config: dict[str, Any], environment: dict[str, Any]) -> dict[str, Any]:
    """The section `training`, and what else shapes an update."""
    values = {name: value for name, value in config["training"].items() if name not in UNIMPORTANT_SETTINGS}
    processes = environment["world_size"]
    values |= {"num_processes": processes, "mixed_precision": environment.get("mixed_precision")}
    if not values.get("batch_seconds"):
        micro_batch, accumulation = values["per_device_train_batch_size"], values["gradient_accumulation_steps"]
        values["global_batch_size"] = micro_batch * accumulation * processes
    values["freeze"] = config["model"].get("freeze") or None  # an earlier version has none
    if "parameters" in environment:  # else it is a run of an earlier version
        values["trained_parameters"] = parameters_in_words(environment["parameters"])
    if _trained_adapters(config):
        values |= {f"lora.{name}": value for name, value in config["lora"].items() if name != "enabled" and value != []}
    return {name: value for name, value in values.items() if not (value in (None, {}) or _is_off(name, value))}


def _is_off(name: str, value: Any) -> bool:
    return name in TECHNIQUES and value in (0, "none")


def _difference(before: list[ScoredUtterance], after: list[ScoredUtterance]) -> str | None:
    """What fine-tuning changed, in a sentence; None if there is nothing to compare."""
    if not before or not after:
        return None
    try:
        wer = compare(before, after).differences["wer"]
    except ValueError:  # a run that was resumed on other data
        return None
    if math.isnan(wer.difference) or math.isnan(wer.interval[0]):  # nothing but empty references, or one utterance
        return None
    if wer.difference == 0 and wer.interval == (0, 0):
        return "no utterance has more word errors, or fewer"
    low, high = (f"{100 * bound:+.2f}" for bound in wer.interval)
    clear = "beyond what chance explains" if wer.is_clear else "which could be chance"
    return f"{100 * wer.difference:+.2f} points of WER (95% interval {low} to {high}, paired by utterance), {clear}"


def _longest_s(run_dir: Path, max_duration_s: float) -> float:
    """The longest possible training clip: the setting, or the model's window if that is shorter."""
    try:
        extractor = read_record(run_dir / "best" / "preprocessor_config.json")
        return min(max_duration_s, float(extractor["chunk_length"]))
    except (UserError, ValueError, KeyError, TypeError):
        return max_duration_s


def _part_rows(scored: list[ScoredUtterance], *, without: str | None) -> list[dict[str, str]]:
    """The best model's scores of the largest parts of the validation data, by column.

    Args:
        without: A column that is not published: `data.group_column`, which mostly names people.
    """
    rows = []
    for column, parts in breakdowns(scored).items():
        if column.removeprefix("column ") == without:
            continue
        largest = sorted(parts, key=lambda part: -part.score.utterances)[:MOST_PARTS]
        rows += [_part_row(column, part) for part in parts if part in largest]
        rest = [part for part in parts if part not in largest]
        if rest:
            utterances = sum(part.score.utterances for part in rest)
            name = f"{_cell(column)}: {len(rest)} more values"
            rows.append({"name": name, "utterances": f"{utterances:,}", "wer": "", "cer": ""})
    return rows


def _part_row(column: str, part: PartScore) -> dict[str, str]:
    return {
        "name": f"{_cell(column)}: {_cell(part.value)}",
        "utterances": f"{part.score.utterances:,}",
        "wer": _rate(part.score.wer, part.interval),
        "cer": _rate(part.score.cer, None),
    }


def _score_rows(summary: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"name": name, "step": str(record["step"]), "utterances": f"{record['utterances']:,}"}
        | {rate: _rate(record[rate], record.get(f"{rate}_interval")) for rate in RATES}
        for key in ("baseline", "best", "last", *(record["weights"] for record in candidates(summary)))
        if (record := summary.get(key))
        for name in [weights_in_words(record) if key == record.get("weights") else key]
    ]


def _guard_rows(summary: dict[str, Any]) -> list[dict[str, str]]:
    """What training must not make worse, before it and in the best model; none without guards."""
    before, after = (summary.get(name, {}).get("guards", {}) for name in ("baseline", "best"))
    return [
        {
            "name": _cell(name),
            "before": _rate(guard["rate"], guard["rate_interval"]),
            "after": _rate(after[name]["rate"], after[name]["rate_interval"]),
            "change": f"{100 * after[name]['change']:+.2f}",
            "margin": f"{100 * guard['margin']:g}",
        }
        for name, guard in before.items()
        if name in after
    ]


def _limits(best: dict[str, Any], scored: list[ScoredUtterance]) -> list[str]:
    """What went wrong in the evaluation of the best model, counted."""
    odd = find_hallucinations(scored)
    counts = {
        "transcripts stopped at the length limit": best["cut_off"],
        "recordings could not be decoded and count as empty transcripts": best.get("unreadable", 0),
        "references are empty after normalisation and are not in the normalised rates": best["empty_references"],
        "transcripts hold all that was said, and words that were not": len(odd.insertion_only),
        "transcripts repeat a piece of text over and over": len(odd.looping),
        "recordings in which nothing can be heard got words": len(odd.silent),
    }
    return [f"{count:,} of {best['utterances']:,} {what}" for what, count in counts.items() if count]


def _rate(rate: float | None, interval: Sequence[float | None] | None) -> str:
    """`25.00 (21.10 to 29.00)`, in percent."""
    numbers = [
        f"{100 * value:.2f}" for value in (rate, *(interval or ())) if value is not None and math.isfinite(value)
    ]
    if not _is_number(rate):
        return "n/a"
    return f"{numbers[0]} ({numbers[1]} to {numbers[2]})" if len(numbers) == 3 else numbers[0]


def _is_number(value: float | None) -> bool:
    """JSON has null for an undefined rate."""
    return value is not None and math.isfinite(value)


def _cell(text: str) -> str:
    """Text that can't end a table's cell or row, nor be a link, a picture or HTML; shortened if it is long."""
    text = shortened(" ".join(text.split()), LONGEST_CELL)
    return re.sub(r"([\\`*\[\]|])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
