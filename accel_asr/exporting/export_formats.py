"""Formats to export to: the packages that each needs beside those of training, and its quantizations."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from accel_asr.errors import UserError

PACKAGES = {  # format -> modules, each with the name of its package but for `-` and `_`
    "ctranslate2": ("ctranslate2", "faster_whisper"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "ggml": ("pywhispercpp",),
}

FORMATS = tuple(PACKAGES)
# format -> what its weights may be stored as, the default first; those of CTranslate2 as its converter has them
QUANTIZATIONS = {
    "ctranslate2": (
        "float32",
        "int8",
        "int8_float32",
        "int8_float16",
        "int8_bfloat16",
        "int16",
        "float16",
        "bfloat16",
    ),
    "onnx": ("float32",),
    "ggml": ("float16",),  # with float32, whisper.cpp 1.8 aborts
}


def require_packages(export_format: str, *, is_installed: Callable[[str], object] = find_spec) -> None:
    """Check, without importing anything, that the packages of a format are installed.

    Raises:
        UserError: some are not.
    """
    missing = [module for module in PACKAGES[export_format] if not is_installed(module)]
    if missing:
        names = ", ".join(module.replace("_", "-") for module in missing)
        raise UserError(
            f"it needs {names}, which {'is' if len(missing) == 1 else 'are'} not installed",
            setting="--format",
            value=export_format,
            remedy="pip install 'accel-asr[export]'",
        )


def versions(export_format: str) -> dict[str, str]:
    """Name -> version of every package that took part in the export and its check."""
    installed = {}
    for name in ("accel-asr", "torch", "transformers", *PACKAGES[export_format]):
        try:
            installed[name.replace("_", "-")] = version(name.replace("_", "-"))
        except PackageNotFoundError:  # a source tree on the path
            installed[name] = "unknown"
    return installed
