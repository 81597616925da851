"""The settings that a model brings along, for commands that take a model and the data of a run."""

from pathlib import Path

from accel_asr.config.command_line import find_config, names_data
from accel_asr.config.settings_files import read_yaml
from accel_asr.files.run_folder import CONFIG_FILE
from accel_asr.quickstart import QUICKSTART

# what the quickstart says of its own clips, and of nobody else's
_NOT_OF_OTHER_DATA = ["--data.text_column=text", "--data.train_rows=null"]


def settings_of_model(model: str, settings: list[str], *, has_own_data: bool = False) -> list[str]:
    """Arguments to stand before `settings`: those of the model's run, or of the quickstart for the embedded model.

    Nothing where `settings` have a `--config`. Data that is named takes nothing over from the quickstart's clips.

    Args:
        has_own_data: The command names data by an option of its own.
    """
    if any(setting.partition("=")[0] == "--config" for setting in settings):
        return []
    has_own_data = has_own_data or names_data(settings)
    run_config = Path(model).resolve().parent / CONFIG_FILE
    if Path(model).is_dir() and run_config.is_file():
        is_quickstart = _names_the_clips(run_config)
        return ["--config", str(run_config), *(_NOT_OF_OTHER_DATA if is_quickstart and has_own_data else [])]
    if model == QUICKSTART:
        return ["--model.language=en"] if has_own_data else ["--config", str(find_config(QUICKSTART))]
    return []


def _names_the_clips(config: Path) -> bool:
    try:
        data = (read_yaml(config) or {}).get("data") or {}
        return bool(data.get("name_or_path") == QUICKSTART)
    except (ValueError, AttributeError):  # reading the settings says what is wrong
        return False
