"""A model card from what a run recorded, and nothing else."""

import json
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

TEMPLATE = Path(__file__).parent / "model_card_template.md"


def make_model_card(run_dir: Path, *, hub_model_id: str) -> ModelCard:
    """The card of `run_dir/best`: data, hyperparameters and scores, the scores also as `model-index` metadata."""
    config = yaml.safe_load((run_dir / "config.yaml").read_text(encoding="utf-8"))
    summary, data, environment = (
        json.loads((run_dir / name).read_text(encoding="utf-8"))
        for name in ("summary.json", "data_summary.json", "environment.json")
    )
    best = summary["best"]
    sources = config["data"]["sources"] or [config["data"]]
    subset = config["data"]["subset"]
    hub_datasets = [source["name_or_path"] for source in sources if _is_hub_name(source["name_or_path"])]
    dataset = ", ".join(source["name_or_path"] for source in sources)
    base_model = config["model"]["name_or_path"]
    split = config["data"]["eval_split"] or f"{config['data']['train_split']} (held out)"
    results = [
        EvalResult(
            task_type="automatic-speech-recognition",
            dataset_type=hub_datasets[0] if len(hub_datasets) == len(sources) == 1 else "local",
            dataset_name=dataset,
            dataset_config=subset,
            dataset_split=split,
            dataset_revision=config["data"]["revision"],
            metric_type=metric_type,
            metric_name=metric_name,
            metric_value=round(100 * best[key], 3),
        )
        for metric_type, metric_name, key in (
            ("wer", f"WER ({config['evaluation']['normalizer']} normaliser)", "wer"),
            ("wer", "WER (orthographic)", "wer_ortho"),
            ("cer", f"CER ({config['evaluation']['normalizer']} normaliser)", "cer"),
        )
    ]
    card_data = ModelCardData(
        language=_languages(config, best),
        library_name="transformers",
        pipeline_tag="automatic-speech-recognition",
        tags=["whisper", "accel-asr"],
        base_model=base_model if _is_hub_name(base_model) else None,
        datasets=hub_datasets or None,
        model_name=hub_model_id,
        eval_results=results,
    )
    return ModelCard.from_template(
        card_data,
        template_path=str(TEMPLATE),
        hub_model_id=hub_model_id,
        base_model_name=base_model,
        dataset_title=dataset + (f", {subset}" if subset else ""),
        data=data,
        text_processing=_text_processing(config["data"]["text"]),
        parts=_part_rows(best),
        scores=_score_rows(summary),
        normalizer=config["evaluation"]["normalizer"],
        hyperparameters={**config["training"], "num_processes": environment["world_size"]},
        packages=environment["packages"],
        command=" ".join(environment["command"]),
    )


def _is_hub_name(name: str) -> bool:
    return name.count("/") == 1 and not Path(name).exists()


def _languages(config: dict[str, Any], best: dict[str, Any]) -> str | list[str]:
    """Those that the rows were in, or else the run's."""
    of_rows = [language for language in best.get("by_language", {}) if language != "unset"]
    return sorted(of_rows) or config["model"]["language"] or "en"


def _text_processing(text: dict[str, Any]) -> str:
    """What was done to every text, training and validation, in words."""
    told = [f"replaced {old!r} by {new!r}" for old, new in text["replacements"].items()]
    told += ["punctuation removed"] * text["remove_punctuation"] + ["lower case"] * text["lowercase"]
    return "; ".join(told) or "none"


def _part_rows(best: dict[str, Any]) -> list[dict[str, str]]:
    """The best model's scores of each language and each source, where there are several."""
    return [
        {"name": f"{kind} {value}", "utterances": str(part["utterances"])}
        | {key: f"{100 * part[key]:.2f}" for key in ("wer", "wer_ortho", "cer")}
        for kind in ("language", "source")
        for value, part in best.get(f"by_{kind}", {}).items()
    ]


def _score_rows(summary: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"name": name, "step": str(record["step"])}
        | {key: f"{100 * record[key]:.2f}" for key in ("wer", "wer_ortho", "cer")}
        | {"utterances": str(record["utterances"])}
        for name in ("baseline", "best", "last")
        if (record := summary.get(name))
    ]
