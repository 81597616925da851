"""The Python API, for notebooks and scripts: each function is what the command of its name does.

    import accel_asr

    config = accel_asr.load_config("quickstart", {"output_dir": "runs/mine", "training.max_steps": 60})
    run = accel_asr.train(config)
    run.scores["best"]["wer"]
    accel_asr.transcribe(run.best, ["call.wav"])[0]["text"]

Mistakes raise `accel_asr.UserError`, which says the setting, the value and the remedy.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_asr.config.command_line import parse_config
from accel_asr.config.settings import Config
from accel_asr.console.bars import quiet_library_imports
from accel_asr.errors import UserError
from accel_asr.files.run_folder import claim_run_folder, full_disk_explained
from accel_asr.model.folder.examination import refuse_unfit_folder
from accel_asr.quickstart import model_source
from accel_asr.ranks.processes import wait_passively


@dataclass(frozen=True)
class TrainedRun:
    """The folder that a run leaves behind.

    Args:
        output_dir: The run folder.
        is_finished: False if a signal, or Interrupt in a notebook, stopped it after a checkpoint; train again with
            `checkpoint.resume` to finish.
    """

    output_dir: Path
    is_finished: bool

    @property
    def best(self) -> Path:
        """The best model, as a Hugging Face model folder."""
        return self.output_dir / "best"

    @property
    def report(self) -> Path:
        """The report, a page that stands alone."""
        return self.output_dir / "report.html"

    @property
    def scores(self) -> dict[str, Any]:
        """summary.json: records of `baseline`, `best`, `last` (`ema`, `average`, `alpha-0.5`) with `wer` and more."""
        return _read_json(self.output_dir / "summary.json")

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl: `kind` is `train` or `eval`."""
        lines = (self.output_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def load_config(config: str | Path | None = None, settings: Mapping[str, Any] | None = None) -> Config:
    """The checked settings of a run, as the command line reads them.

    Args:
        config: A recipe or YAML file, as for `--config`; None is the quickstart if `settings` name no model or data.
        settings: By their full names, such as `{"training.max_steps": 20}`; they win over `config`.

    Raises:
        UserError: an unknown setting, a wrong value, or a wrong combination.
    """
    chosen = [] if config is None else ["--config", str(config)]
    return parse_config([*chosen, *_as_arguments(settings or {})])


def train(config: Config) -> TrainedRun:
    """Fine-tune as `config` says, like `accelerate launch accel_asr/train.py`.

    In a notebook with several GPUs: `accelerate.notebook_launcher(accel_asr.train, (config,), num_processes=2)`.

    Raises:
        UserError: anything that the user can mend.
    """
    from accel_asr.train import train as train_run

    output_dir = Path(str(config.output_dir))
    quiet_library_imports()
    refuse_unfit_folder(model_source(config.model.name_or_path), name=config.model.name_or_path)
    claim_run_folder(output_dir, resume=config.checkpoint.resume)
    wait_passively()
    with full_disk_explained(output_dir), _own_accelerate_state():
        exit_code = train_run(config)
    return TrainedRun(output_dir, is_finished=exit_code == 0)


def evaluate(
    model: str | Path,
    dataset: str | None = None,
    *,
    against: str | Path | None = None,
    output_dir: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Score a model, like `accel-asr evaluate`.

    Args:
        model: Folder of a model or an adapter, a name on the Hub, or `quickstart`.
        dataset: `NAME` or `NAME@SPLIT`; None is the validation data of the run that the model belongs to.
        against: Another model, compared on the same rows.
        output_dir: Where transcripts and scores are kept; None keeps none.
        settings: Settings of a run by their full names, such as `{"evaluation.normalizer": "english"}`.

    Returns:
        The content of scores.json: `sets` has the scores of each set by its name.

    Raises:
        UserError: anything that the user can mend.
    """
    from accel_asr.commands import evaluate_command

    with tempfile.TemporaryDirectory() as unkept:
        folder = Path(unkept) / "scores" if output_dir is None else Path(output_dir)
        arguments = ["--model", str(model), "--output_dir", str(folder)]
        arguments += [] if dataset is None else ["--dataset", dataset]
        arguments += [] if against is None else ["--against", str(against)]
        quiet_library_imports()
        config, options = evaluate_command.read_arguments([*arguments, *_as_arguments(settings or {})])
        with full_disk_explained(folder), _own_accelerate_state():
            evaluate_command.evaluate(config, options)
        return _read_json(folder / evaluate_command.SCORES_FILE)


def transcribe(
    model: str | Path,
    recordings: Sequence[str | Path],
    *,
    language: str | None = None,
    task: str | None = None,
    device: str | None = None,
    batch_size: int = 16,
    audio_context: str = "full",
) -> list[dict[str, Any]]:
    """Transcribe recordings of any length, like `accel-asr transcribe --format json`.

    Args:
        model: Folder of a model or an adapter, a name on the Hub, or `quickstart`.
        recordings: Audio files, or folders of them.
        language, task, device, audio_context: As the command's options.

    Returns:
        Of each recording, in order: `file`, `duration_s`, `language`, `text`, and `segments` with `start_s`, `end_s`
        and `text`.

    Raises:
        UserError: a file is not there or can't be decoded, or the model can't be loaded.
    """
    from accel_asr.transcription.formats import as_object
    from accel_asr.transcription.inputs import find_recordings
    from accel_asr.transcription.outcomes import outcomes
    from accel_asr.transcription.transcriber_loading import load_transcriber

    quiet_library_imports()
    refuse_unfit_folder(model_source(str(model)), name=str(model), setting="model")
    inputs, _ = find_recordings([str(recording) for recording in recordings])
    transcriber = load_transcriber(str(model), language=language, task=task, device=device, audio_context=audio_context)
    transcripts = []
    for index, outcome in outcomes(transcriber, inputs, batch_size=batch_size, timed=True):
        if isinstance(outcome, str):
            raise UserError(outcome, setting="recordings", value=inputs[index].name, remedy="leave it out, or mend it")
        transcripts.append(as_object(outcome, name=inputs[index].name))
    return transcripts


def _as_arguments(settings: Mapping[str, Any]) -> list[str]:
    """Settings as the command line takes them; JSON is YAML."""
    return [
        f"--{name}={value if isinstance(value, str | Path) else json.dumps(value)}" for name, value in settings.items()
    ]


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@contextmanager
def _own_accelerate_state() -> Iterator[None]:
    """Leave no state of Accelerate behind, so that the next call may have other precision, processes or a launcher."""
    from accelerate.state import AcceleratorState, GradientState

    try:
        yield
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
