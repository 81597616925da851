"""accel_asr: fine-tune Whisper on your own recordings with Hugging Face Accelerate."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accel_asr.api import TrainedRun, evaluate, load_config, train, transcribe
    from accel_asr.errors import UserError

__version__ = "0.1.0"
__all__ = ["TrainedRun", "UserError", "__version__", "evaluate", "load_config", "train", "transcribe"]


def __getattr__(name: str) -> Any:
    """The Python API, imported when it is first used: `import accel_asr` alone loads nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    import_module("accel_asr.train")  # first: importing the module later would put it in the place of the function
    api = import_module("accel_asr.api")

    globals().update({exported: getattr(api, exported) for exported in __all__ if exported != "__version__"})
    return globals()[name]
