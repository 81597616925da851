"""Code for the processes of `startup`; heavy imports are inside the functions."""

import io
import json
import os
from pathlib import Path
from typing import Any

BATCH_SIZE = 15


def end_at_first_step() -> None:
    """Print this process's memory and end after the first step of any optimizer."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def end(*_: Any) -> None:
        # not ru_maxrss, which begins with that of the process that started this one
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        peak_mb = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
        print("\n" + json.dumps({"peak_mb": peak_mb}), flush=True)
        os._exit(0)

    register_optimizer_step_post_hook(end)


def train_quickstart(folder: str, kind: str) -> None:
    """The quickstart's data and model, as a script over `datasets` and transformers has them, to the first step."""
    import datasets
    import evaluate  # noqa: F401  # such scripts import it, and the next, for their scores
    import jiwer  # noqa: F401
    import librosa
    import soundfile
    import torch
    from torch.utils.data import DataLoader
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    from accel_asr.quickstart import BASE_MODEL_DIR, CLIPS_PARQUET

    end_at_first_step()
    processor = WhisperProcessor.from_pretrained(BASE_MODEL_DIR, language="en", task="transcribe")
    attention = "eager" if kind == "seed" else "sdpa"
    model = WhisperForConditionalGeneration.from_pretrained(BASE_MODEL_DIR, attn_implementation=attention)
    raw = datasets.load_dataset("parquet", data_files=str(CLIPS_PARQUET), split="train", cache_dir=folder)
    raw = raw.cast_column("audio", datasets.Audio(decode=False)).select(range(450))
    rate_hz = processor.feature_extractor.sampling_rate

    def prepared(row: dict[str, Any]) -> dict[str, Any]:
        samples, found_hz = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        audio = librosa.resample(samples, orig_sr=found_hz, target_sr=rate_hz)
        features = processor.feature_extractor(audio, sampling_rate=rate_hz).input_features[0]
        return {"input_features": features, "labels": processor.tokenizer(row["english_transcription"]).input_ids[1:]}

    if kind == "seed":
        data = raw.map(prepared, remove_columns=raw.column_names)
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, foreach=False, fused=False)
        for batch in DataLoader(data, batch_size=BATCH_SIZE, shuffle=True, collate_fn=_collate):
            model(**batch).loss.backward()
            optimizer.step()
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

    arguments = Seq2SeqTrainingArguments(
        output_dir=str(Path(folder) / "trainer"),
        per_device_train_batch_size=BATCH_SIZE,
        learning_rate=5e-4,
        optim="adamw_torch_fused",
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    raw.set_transform(
        lambda rows: _by_column(
            [prepared(dict(zip(rows, row, strict=True))) for row in zip(*rows.values(), strict=True)]
        )
    )
    Seq2SeqTrainer(model=model, args=arguments, train_dataset=raw, data_collator=_collate).train()


def _collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Stack features, pad labels with -100."""
    import numpy as np
    import torch
    from torch.nn.utils.rnn import pad_sequence

    labels = pad_sequence([torch.tensor(row["labels"]) for row in rows], batch_first=True, padding_value=-100)
    features = np.stack([np.asarray(row["input_features"], dtype=np.float32) for row in rows])
    return {"input_features": torch.from_numpy(features), "labels": labels}


def _by_column(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}
