"""`state.json` of a checkpoint: how far a run is and what it depends on, read back strictly."""

import json
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from xxhash import xxh3_128_hexdigest

from accel_asr.console.printing import counted
from accel_asr.files.atomic_writes import to_json, write_json
from accel_asr.training.saving.recorded_settings import RecordedSettings

STATE_FILE = "state.json"
FORMAT = 2  # 1 did not record settings, and had no digest of its own
LARGEST_INTEGER = 2**64 - 1  # a fingerprint
T = TypeVar("T")


class DamagedStateError(Exception):
    """`state.json` is not what was written."""


@dataclass(frozen=True)
class Geometry:
    """The numbers that the order of training depends on; compared on resume.

    A run may resume with other `num_processes`, `accumulation_steps` and `micro_batch_size` of the same product.
    `micro_batch_size` counts utterances, or seconds where windows are filled by them; `order` is a checksum of what
    else the order depends on.
    """

    train_utterances: int
    train_data: int
    seed: int
    steps_per_epoch: int
    model_parameters: int
    num_processes: int
    accumulation_steps: int
    micro_batch_size: float
    order: int = 0

    @property
    def window_size(self) -> float:
        return self.num_processes * self.accumulation_steps * self.micro_batch_size

    def window_sum(self) -> str:
        """How the global batch comes about, for messages."""
        processes = counted(self.num_processes, "process", "processes")
        return f"{processes} x {self.accumulation_steps} x {self.micro_batch_size:g} = {self.window_size:g}"


@dataclass
class Progress:
    """How far a run is: all that resuming needs beside tensors.

    step: optimizer steps taken. evaluated_step: the last of them that was evaluated.
    skipped_steps: of them, updates that the fp16 scaler skipped.
    unreadable: ids of training utterances that could not be decoded when their turn came.
    filtered: rows of a stream that a setting dropped, by reason. places: where each rank is in its stream.
    evaluations_without_gain: how many in a row (`EarlyStopping`).
    scores: the records of summary.json so far (`baseline`, `best`), comparable since the step `measured_since`.
    metrics_bytes: length of metrics.jsonl.
    loss_sum, loss_tokens: token losses since its last line on training, in nats, and how many they are.
    """

    step: int = 0
    evaluated_step: int = 0
    skipped_steps: int = 0
    unreadable: list[str] = field(default_factory=list)
    filtered: dict[str, int] = field(default_factory=dict)
    places: list[dict[str, int]] = field(default_factory=list)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    measured_since: int = 0
    evaluations_without_gain: int = 0
    metrics_bytes: int = 0
    loss_sum: float = 0.0
    loss_tokens: int = 0

    def add_loss(self, loss: float, target_tokens: int) -> float:
        """Count a step's mean loss; returns the mean of a target token since `loss_is_written`."""
        self.loss_sum += loss * target_tokens
        self.loss_tokens += target_tokens
        return self.loss_sum / self.loss_tokens

    def loss_is_written(self) -> None:
        """Begin the next mean."""
        self.loss_sum, self.loss_tokens = 0.0, 0


@dataclass(frozen=True)
class SavedState:
    """All that a checkpoint says beside its tensors.

    recorded: None in a checkpoint of an earlier version. trained_parameters: their names, by optimizer group.
    scaler: that of fp16, None without. torch_threads: of the process that trained. device: its GPU,
    by name, or the kind of another device. torch_version, device: None in a checkpoint of an earlier version.
    sha256: of the other files, by name.
    """

    progress: Progress
    geometry: Geometry
    recorded: RecordedSettings | None
    trained_parameters: list[list[str]]
    scaler: dict[str, Any] | None
    torch_threads: int
    device: str | None
    torch_version: str | None
    sha256: dict[str, str]


def write_state(folder: Path, state: SavedState) -> None:
    """Write `state.json` with a digest of itself."""
    content = json.loads(to_json({"format": FORMAT, **asdict(state)}))
    write_json(folder / STATE_FILE, {**content, "digest": _digest(content)})


def read_state(folder: Path) -> SavedState:
    """Read `state.json`.

    Raises:
        DamagedStateError: it is not there, or not as `write_state` writes it; says why.
    """
    try:
        content = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedStateError(f"{STATE_FILE} can't be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise DamagedStateError(f"{STATE_FILE} holds no object")
    version = content.pop("format", 1)
    if version == 1:
        progress = content.get("progress")
        progress = {**asdict(Progress()), **progress} if isinstance(progress, dict) else progress
        content = {"recorded": None, **content, "progress": progress}
    elif version != FORMAT:
        raise DamagedStateError(f"{STATE_FILE} is of format {version!r}, and this version reads format {FORMAT}")
    elif content.pop("digest", None) != _digest({"format": version, **content}):
        raise DamagedStateError(f"{STATE_FILE} is not what was written")
    content = {"device": None, "torch_version": None, **content}  # earlier versions did not record them
    if isinstance(content.get("progress"), dict):  # nor count
        content["progress"] = {"evaluations_without_gain": 0, **content["progress"]}
    state = _parsed(SavedState, content, STATE_FILE)
    named = f"step-{state.progress.step:08d}"
    if folder.name != named:
        raise DamagedStateError(f"{STATE_FILE} is that of {named}")
    return state


def _digest(content: Mapping[str, Any]) -> str:
    return xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())


def _parsed(kind: type[T], content: Any, where: str) -> T:
    """A dataclass of plain fields from JSON: exactly its fields, each of its type."""
    hints = get_type_hints(kind)
    names = {known.name for known in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(content, dict) or set(content) != names:
        have = set(content) if isinstance(content, dict) else set()
        amiss = [
            *(f"no {name}" for name in sorted(names - have)),
            *(f"unknown {name!a}" for name in sorted(have - names)),
        ]
        raise DamagedStateError(f"{where}: {', '.join(amiss[:5]) or 'no object'}")
    return kind(**{name: _value(hints[name], content[name], f"{where}: {name}") for name in names})


def _value(hint: Any, value: Any, where: str) -> Any:
    """`value`, if it is of the type; dataclasses are made from their objects."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is types.UnionType:  # something, or None
        return None if value is None else _value(inner[0], value, where)
    if hint is Any:
        return value
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return _parsed(hint, value, where)
    if origin is list and isinstance(value, list):
        return [_value(inner[0], item, where) for item in value]
    if origin is dict and isinstance(value, dict):
        return {name: _value(inner[1], item, where) for name, item in value.items()}
    is_number = type(value) in (int, float)  # True is none
    if (
        (hint is str and isinstance(value, str))
        or (hint is int and type(value) is int and 0 <= value <= LARGEST_INTEGER)
        or (hint is float and is_number and 0 <= value <= LARGEST_INTEGER)  # nan is not
    ):
        return value
    raise DamagedStateError(f"{where} is {str(value)[:40]!a}")
