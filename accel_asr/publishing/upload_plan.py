"""Which files of a run go to the Hub, and where to."""

from dataclasses import dataclass
from pathlib import Path

from accel_asr.errors import UserError

CARD_FILE = "README.md"
BEST, BEST_ADAPTER = "best", "best_adapter"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
RECORDS = ("config.yaml", "environment.json", "data_summary.json", "summary.json")
TENSORBOARD_DIR = "tensorboard"
PICTURES_DIR = "plots"
PICTURES = ("word_error_rate.png", "character_error_rate.png", "loss.png")  # others may show names of speakers


@dataclass(frozen=True)
class PlannedFile:
    """A file on this machine, and its path in the repository."""

    path_in_repo: str
    path: Path
    size_bytes: int


def require_finished_run(run_dir: Path, *, adapter: bool = False) -> None:
    """Raises: UserError: the model, its adapter or a record that the card needs is missing; all of that is named."""
    missing = [name for name in (*RECORDS, f"{BEST}/config.json") if not (run_dir / name).is_file()]
    if missing:
        raise UserError(
            f"holds no finished run: {', '.join(missing)} is missing",
            setting="RUN_DIR",
            value=run_dir,
            remedy="give the folder that training wrote, such as runs/quickstart",
        )
    missing = [f"{BEST_ADAPTER}/{name}" for name in ADAPTER_FILES if not (run_dir / BEST_ADAPTER / name).is_file()]
    if adapter and missing:
        raise UserError(
            f"holds no adapter: {', '.join(missing)} is missing",
            setting="RUN_DIR",
            value=run_dir,
            remedy="give the folder of a run that trained one (--lora.enabled true), or leave out --push_adapter",
        )


def plan_upload(run_dir: Path, *, include_tensorboard: bool, folder: str = BEST) -> list[PlannedFile]:
    """The files of `folder` for the top of the repository, the pictures of its card for `plots/`, and TensorBoard's
    event files for `runs/`, by name.

    Hidden files stay here. So does `tensorboard/samples`, which holds validation texts and recordings.

    Raises:
        UserError: TensorBoard's logs are asked for, and there are none.
    """
    sent = run_dir / folder
    files = {path.relative_to(sent).as_posix(): path for path in sent.rglob("*") if path.is_file()}
    files = {name: path for name, path in files.items() if not any(part.startswith(".") for part in name.split("/"))}
    files |= {f"{PICTURES_DIR}/{path.name}": path for path in pictures_of(run_dir)}
    if include_tensorboard:
        # the Hub shows event files in a repository under "Metrics"; Hugging Face's Trainer puts them in runs/NAME too
        logs = run_dir / TENSORBOARD_DIR
        events = sorted(logs.glob("events.out.tfevents.*"))
        if not events:
            raise UserError(
                f"there are no logs of TensorBoard in {str(logs)!r}",
                setting="--include_tensorboard",
                remedy="leave it out",
            )
        files |= {f"runs/{run_dir.resolve().name}/{path.name}": path for path in events}
    return [PlannedFile(name, path, path.stat().st_size) for name, path in sorted(files.items())]


def pictures_of(run_dir: Path) -> list[Path]:
    """The curves for the card, as far as the run's report left them."""
    return [path for name in PICTURES if (path := run_dir / PICTURES_DIR / name).is_file()]


def size_text(size_bytes: int) -> str:
    """12_345_678 as `12.3 MB`."""
    for unit, bytes_each in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= bytes_each:
            return f"{size_bytes / bytes_each:.1f} {unit}"
    return f"{size_bytes} B"
