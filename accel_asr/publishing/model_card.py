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
    dataset, subset = config["data"]["name_or_path"], config["data"]["subset"]
    is_hub_dataset = not Path(dataset).exists() and dataset.count("/") == 1
    base_model = config["model"]["name_or_path"]
    split = config["data"]["eval_split"] or f"{config['data']['train_split']} (held out)"
    results = [
        EvalResult(
            task_type="automatic-speech-recognition",
            dataset_type=dataset if is_hub_dataset else "local",
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
        language=config["model"]["language"] or "en",
        library_name="transformers",
        pipeline_tag="automatic-speech-recognition",
        tags=["whisper", "accel-asr"],
        base_model=base_model if base_model.count("/") == 1 and not Path(base_model).exists() else None,
        datasets=dataset if is_hub_dataset else None,
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
        scores=_score_rows(summary),
        normalizer=config["evaluation"]["normalizer"],
        hyperparameters={**config["training"], "num_processes": environment["world_size"]},
        packages=environment["packages"],
        command=" ".join(environment["command"]),
    )


def _score_rows(summary: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"name": name, "step": str(record["step"])}
        | {key: f"{100 * record[key]:.2f}" for key in ("wer", "wer_ortho", "cer")}
        | {"utterances": str(record["utterances"])}
        for name in ("baseline", "best", "last")
        if (record := summary.get(name))
    ]
