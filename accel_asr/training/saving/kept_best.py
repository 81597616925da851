"""`best/` of a resumed run: a best score is worth nothing without its model."""

from pathlib import Path

from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError

from accel_asr.model.pretrained import not_finite_in_file
from accel_asr.training.saving.checkpoint_state import Progress


def put_aside_lost_best(output_dir: Path, progress: Progress) -> list[str]:
    """Forget the best score if `best/` can't be read any more. A collective: the main process looks.

    Where the newest checkpoint came right after an evaluation, that is made again, and decides anew.

    Returns:
        A notice, if it was forgotten.
    """
    if "best" not in progress.scores:
        return []
    problem = broadcast_object_list([_problem(output_dir / "best")])[0]
    if problem is None:
        return []
    step = progress.scores.pop("best")["step"]
    # an average of the weights is scored again too
    progress.scores = {name: record for name, record in progress.scores.items() if "weights" not in record}
    progress.evaluated_step = 0
    return [
        f"{str(output_dir / 'best')!r} can't be read any more ({problem}): the best model so far, of step {step}, is "
        "lost, and best/ is chosen anew from here on"
    ]


def _problem(folder: Path) -> str | None:
    """Why the weights of a model folder can't be read; None where they can."""
    try:
        files = sorted(folder.glob("*.safetensors"))
        broken = [name for path in files for name in not_finite_in_file(path)]
    except (OSError, SafetensorError) as error:
        return " ".join(str(error).split())
    if not files:
        return "it holds no weights"
    return f"{broken[0]} is not finite" if broken else None
