"""Run folders for tests, as training leaves them, from pairs of texts; nothing is trained."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from accel_asr.config.command_line import parse_config, write_config
from accel_asr.evaluation.intervals import rate_intervals
from accel_asr.evaluation.scoring import ScoredUtterance, corpus_score
from accel_asr.files.atomic_writes import to_json, write_json, write_json_lines
from tests.unit.evaluation.made_up_scores import score_pairs

SAMPLING_RATE_HZ = 16_000


def record_of(step: int, scored: Sequence[ScoredUtterance]) -> dict[str, Any]:
    """As metrics.jsonl has it."""
    intervals = {f"{name}_interval": list(interval) for name, interval in rate_intervals(scored).items()}
    return {"step": step, "epoch": step / 10, **asdict(corpus_score(scored)), "loss": 1 / (1 + step), **intervals}


def make_run(
    folder: Path,
    evaluations: Mapping[int, Sequence[ScoredUtterance]],
    *,
    settings: Sequence[str] = (),
    train_steps: int = 0,
    data_summary: Mapping[str, Any] | None = None,
    finished: bool = True,
    averages: Mapping[str, Sequence[ScoredUtterance]] | None = None,
) -> Path:
    """A run folder with evaluations by their steps (0 is the baseline), and a line of loss for each train step.

    `averages` of the weights are those of the last step, by `ema`, `average` or `alpha-0.5`.
    """
    folder.mkdir(parents=True)
    write_config(
        parse_config(["--config", "quickstart", "--output_dir", str(folder), *settings]), folder / "config.yaml"
    )
    write_json(
        folder / "environment.json", {"command": ["train.py", "<run>"], "packages": {"torch": "2"}, "cpu_count": 2}
    )
    write_json(folder / "data_summary.json", data_summary or {})
    lines: list[dict[str, Any]] = [
        {"kind": "train", "step": step, "epoch": step / 10, "loss": 1 / step, "learning_rate": 1e-5, "grad_norm": 1.0}
        for step in range(1, train_steps + 1)
    ]
    summary: dict[str, Any] = {}
    for step, scored in evaluations.items():
        record = record_of(step, scored)
        lines.append({"kind": "eval", **record})
        write_json_lines(folder / "evaluations" / f"step-{step:08d}.jsonl", map(ScoredUtterance.to_json, scored))
        summary["last" if step else "baseline"] = record
        if step and ("best" not in summary or record["wer"] < summary["best"]["wer"]):
            summary["best"] = record
    for name, scored in (averages or {}).items():
        details = {"ema": {"ema_decay": 0.99}, "average": {"steps": list(evaluations)[1:]}}
        averaged = {"weights": name, **(details.get(name) or {"alpha": float(name.removeprefix("alpha-"))})}
        record = {**record_of(max(evaluations), scored), **averaged}
        difference = record["wer"] - summary["best"]["wer"]
        record["versus_best"] = {
            "step": summary["best"]["step"],
            "difference": difference,
            "interval": [difference] * 2,
            "p_value": 0.002,
        }
        lines.append({"kind": "eval_interpolation" if "alpha" in averaged else f"eval_{name}", **record})
        write_json_lines(folder / "evaluations" / f"{name}.jsonl", map(ScoredUtterance.to_json, scored))
        summary[name] = record
        if record["wer"] < summary["best"]["wer"]:
            summary["best"] = record
    if summary:
        write_json(folder / "summary.json", summary)
    (folder / "metrics.jsonl").write_text("".join(to_json(line) + "\n" for line in lines), encoding="utf-8")
    if finished:
        (folder / "last").mkdir()
    return folder


def a_run(folder: Path, **more: Any) -> Path:
    """Three utterances, better after ten steps than before, and a little worse after twenty."""
    said = ["pay the bill now", "freeze my card", "hello"]
    heard = {0: ["pay a hill", "please card", "hello"], 10: said, 20: ["pay the bill now", "freeze my car", "hello"]}
    evaluations = {step: score_pairs(list(zip(said, texts, strict=True))) for step, texts in heard.items()}
    return make_run(folder, evaluations, **{"train_steps": 20, **more})


def tone(utterance_id: str) -> np.ndarray:
    """Half a second of 440 Hz, whatever the utterance."""
    time_s = np.arange(SAMPLING_RATE_HZ // 2) / SAMPLING_RATE_HZ
    return (8_000 * np.sin(2 * np.pi * 440 * time_s)).astype(np.int16)


def rename(scored: Sequence[ScoredUtterance], names: Iterable[str]) -> list[ScoredUtterance]:
    """The same with other utterance ids."""
    return [
        replace(utterance, transcript=replace(utterance.transcript, utterance_id=name))
        for utterance, name in zip(scored, names, strict=False)
    ]


def edit_lines(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Let `change` alter each JSON object of a file."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        change(line)
    path.write_text("".join(to_json(line) + "\n" for line in lines), encoding="utf-8")
