"""Upload the best model of a run, with a card made from the run's own records."""

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError  # of the HTTP client that this huggingface_hub uses

from accel_asr.errors import UserError
from accel_asr.publishing.model_card import make_model_card


def push_run(run_dir: Path, *, hub_model_id: str, private: bool) -> str:
    """Upload `run_dir/best` as the repository `hub_model_id`, which is created if it is not there.

    The token comes from where huggingface_hub keeps it (`hf auth login`, `HF_TOKEN`). Safe to repeat: files that are
    there already are not sent again.

    Returns:
        The address of the model.

    Raises:
        UserError: no finished run in the folder, no token, refused, or out of reach. The run is left as it was.
    """
    best = run_dir / "best"
    if not (best / "config.json").is_file() or not (run_dir / "summary.json").is_file():
        raise UserError(f"RUN_DIR: {str(run_dir)!r} holds no finished run (there is no best/ and summary.json in it)")
    make_model_card(run_dir, hub_model_id=hub_model_id).save(best / "README.md")
    api = HfApi()
    try:
        api.create_repo(hub_model_id, private=private, exist_ok=True)
        api.upload_folder(repo_id=hub_model_id, folder_path=best, commit_message=f"accel_asr: {run_dir.name}")
    except (HTTPError, OSError, ValueError) as error:
        raise UserError(
            f"hub.hub_model_id: the upload to {hub_model_id!r} failed ({' '.join(str(error).split())}); the model is "
            f"safe in {best}. Log in with `hf auth login` or set HF_TOKEN to a token that may write, then: "
            f"accel-asr push {run_dir} --hub_model_id {hub_model_id}"
        ) from error
    return f"{api.endpoint}/{hub_model_id}"
