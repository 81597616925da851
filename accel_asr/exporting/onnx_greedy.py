"""Greedy transcription with ONNX Runtime. A copy of this file lies in each folder that was exported to ONNX."""

import json
from pathlib import Path

import numpy as np
import onnxruntime


class OnnxWhisper:
    """The encoder and the decoder of an exported folder, run on the CPU.

    Args:
        threads: Of ONNX Runtime; 0 lets it choose.
    """

    def __init__(self, folder: str | Path, *, threads: int = 0) -> None:
        folder = Path(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
            for name in ("encoder_model.onnx", "decoder_model.onnx")
        )
        self.settings = json.loads((folder / "transcribe_settings.json").read_text(encoding="utf-8"))
        self.cross_names = [output.name for output in self.encoder.get_outputs()]
        past = [tensor for tensor in self.decoder.get_inputs() if tensor.name.startswith("past_")]
        self.no_past = {tensor.name: np.zeros((1, tensor.shape[1], 0, tensor.shape[3]), np.float32) for tensor in past}

    def generate(
        self, features: np.ndarray, start_ids: list[int] | None = None, max_new_tokens: int | None = None
    ) -> list[int]:
        """Token ids of one clip, without the end of the text.

        Args:
            features: log-mel of the whole window, float32, (mel bins, frames): (80, 3000) for whisper-tiny.
            start_ids: What the decoder is given; unset is what the model was scored with.
            max_new_tokens: Most tokens to make; unset is what the model was scored with.
        """
        settings = self.settings
        tokens = np.array([start_ids or settings["start_ids"]], np.int64)
        cross = dict(zip(self.cross_names, self.encoder.run(None, {"input_features": features[None]}), strict=True))
        past = self.no_past
        made: list[int] = []
        for _ in range(max_new_tokens or settings["max_new_tokens"]):
            logits, *present = self.decoder.run(None, {"input_ids": tokens, **cross, **past})
            past = dict(zip(self.no_past, present, strict=True))
            logits[:, settings["suppress_tokens"]] = -np.inf
            if not made:
                logits[:, settings["begin_suppress_tokens"]] = -np.inf
            tokens = logits.argmax(axis=1)[:, None]
            if tokens[0, 0] == settings["end_of_text_id"]:
                break
            made.append(int(tokens[0, 0]))
        return made
