"""Real weights and real recordings in place of random ones, for any row: how long transcripts are is then the model's
own doing."""

import json
from pathlib import Path

import numpy as np
import torch

from accel_asr.data.labels import LabelEncoder
from accel_asr.model.folder.generation_settings import is_multilingual
from benchmarks.speed.material import RATE_HZ, Material, Size

MAX_NEW_TOKENS = 100  # enough for any clip of a window that isn't repeated


class RealMaterial(Material):
    """A folder with a model, and mono recordings at RATE_HZ in an order drawn once.

    Args:
        folder: Where the rows write.
        model_dir: Is not changed.
        manifest: JSON lines with `file`, from the manifest's folder, `text` and `duration` in seconds; in English.
    """

    def __init__(self, folder: Path, model_dir: Path, manifest: Path, *, device: torch.device) -> None:
        (folder / "model").symlink_to(model_dir.resolve())
        lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
        self._lines = [lines[index] for index in np.random.default_rng(0).permutation(len(lines))]
        self._recordings = manifest.parent
        config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
        size = Size(
            name=model_dir.name,
            width=config["d_model"],
            encoder_layers=config["encoder_layers"],
            decoder_layers=config["decoder_layers"],
            heads=config["encoder_attention_heads"],
            letters="",
            merges=0,
            window_s=30,
            clip_s=float(np.median([line["duration"] for line in lines])),
            label_tokens=(0, 0),
            max_new_tokens=MAX_NEW_TOKENS,
        )
        super().__init__(folder, size, device=device)
        self.is_multilingual = is_multilingual(self.model(attention="sdpa").generation_config)
        if not self.is_multilingual:
            self.processor.tokenizer.language = self.processor.tokenizer.task = None
            self.processor.tokenizer.set_prefix_tokens(predict_timestamps=False)
        self.encoder = LabelEncoder(self.processor.tokenizer)

    def describe(self) -> str:
        recordings = f"{self._recordings.name}, {self.size.clip_s:.1f} s in the median"
        return f"The weights of {self.size.name}; recordings of {recordings}."

    def samples(self, row: int) -> np.ndarray:
        import soundfile  # not needed by rows that need only the model

        samples, rate_hz = soundfile.read(self._recordings / self._lines[row]["file"], dtype="int16")
        assert rate_hz == RATE_HZ
        assert samples.ndim == 1
        return samples

    def text(self, row: int) -> str:
        text: str = self._lines[row]["text"]
        return text

    def duration_s(self, row: int) -> float:
        return len(self.samples(row)) / RATE_HZ
