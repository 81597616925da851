"""ONNX: an encoder and a decoder, run by the greedy loop that lies in the folder."""

import shutil
from pathlib import Path

from transformers import WhisperForConditionalGeneration, WhisperTokenizer

from accel_asr.exporting.exported import Clip
from accel_asr.exporting.onnx_graphs import write_graphs
from accel_asr.model.spelling import Spelling

LOOP_FILE = "onnx_greedy.py"


def convert_to_onnx(model: WhisperForConditionalGeneration, folder: Path) -> None:
    """Write both graphs and the greedy loop to `folder`. `model` must be on the CPU."""
    write_graphs(model, folder)
    shutil.copyfile(Path(__file__).with_name(LOOP_FILE), folder / LOOP_FILE)


class Onnx:
    """An exported folder in ONNX Runtime."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        import onnxruntime

        from accel_asr.exporting.onnx_greedy import OnnxWhisper

        self._model = OnnxWhisper(folder, threads=threads)
        self._spelling = Spelling(WhisperTokenizer.from_pretrained(folder))
        self.runtime = f"ONNX Runtime {onnxruntime.__version__}, float32 on cpu"

    def transcribe(self, clip: Clip) -> tuple[str, list[int]]:
        """(text, token ids) of one clip."""
        token_ids = self._model.generate(clip.features, list(clip.start_ids), clip.max_new_tokens)
        return self._spelling.text(token_ids), token_ids
