"""The `seed`: the loop that people write by hand for this job today, in its plainest form.

Log-mel features kept as float lists in a `datasets.Dataset`, eager attention, the loss that the model computes from
labels, AdamW that goes over the weights one by one, transcripts by `generate` as it is, with its guess of the language
for every batch, a forward pass of its own for the validation loss, `torch.save`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.speed.material import RATE_HZ, Material

LEARNING_RATE = 1e-5


def prepared_dataset(material: Material, rows: int) -> Any:
    """The rows with their features and labels, computed once and kept by Arrow as lists of floats."""
    import datasets

    def prepared() -> Any:
        for row in range(rows):
            audio = (material.samples(row) / 32_768).astype("float32")
            features = material.extractor(audio, sampling_rate=RATE_HZ).input_features[0]
            # without its start token, which the model puts before the labels by itself
            labels = list(material.encoder.encode(material.text(row)).token_ids[1:])
            yield {"input_features": features, "labels": labels}

    return datasets.Dataset.from_generator(prepared, cache_dir=str(material.folder / "seed_cache"))


def collate(material: Material) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """A function that pads rows to a batch."""
    extractor, tokenizer = material.extractor, material.processor.tokenizer

    def padded(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = extractor.pad([{"input_features": row["input_features"]} for row in rows], return_tensors="pt")
        labels = tokenizer.pad([{"input_ids": row["labels"]} for row in rows], return_tensors="pt")
        ids = labels["input_ids"].masked_fill(labels["attention_mask"].ne(1), -100)
        return {"input_features": batch["input_features"], "labels": ids}

    return padded


class HandWritten:
    """Model and optimizer as the loop has them, and what it does with them."""

    def __init__(self, material: Material, *, mixed_precision: str) -> None:
        self.material = material
        self.model = material.model(attention="eager")
        self.model.train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE, foreach=False, fused=False)
        self.precision = torch.bfloat16 if mixed_precision == "bf16" else None

    def autocast(self) -> torch.autocast:
        """Mixed precision, where it is asked for."""
        return torch.autocast(
            self.material.device.type, dtype=self.precision or torch.bfloat16, enabled=self.precision is not None
        )

    def train_step(self, micro_batches: list[dict[str, torch.Tensor]]) -> tuple[float, float]:
        """One update; each micro-batch's mean loss is divided by how many there are. Returns loss and gradient norm."""
        running = 0.0
        for batch in micro_batches:
            with self.autocast():
                loss = self.model(input_features=batch["input_features"], labels=batch["labels"]).loss
            (loss / len(micro_batches)).backward()
            running += loss.item()
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), 1.0))
        self.optimizer.step()
        self.optimizer.zero_grad()
        return running / len(micro_batches), norm

    def evaluate(self, batches: list[dict[str, torch.Tensor]]) -> tuple[float, list[str]]:
        """Mean of the batches' losses, and the transcripts."""
        self.model.eval()
        losses, transcripts = [], []
        for batch in batches:
            with torch.no_grad(), self.autocast():
                made = self.model.generate(batch["input_features"], max_new_tokens=self.material.size.max_new_tokens)
                losses.append(self.model(**batch).loss.item())
            transcripts += self.material.processor.tokenizer.batch_decode(made, skip_special_tokens=True)
        self.model.train()
        return sum(losses) / len(losses), transcripts

    def epoch(self, train: Any, validation: Any, *, batch_size: int) -> tuple[float, list[str]]:
        """One pass over the training rows, then an evaluation."""
        put_together = collate(self.material)
        for batch in DataLoader(train, batch_size=batch_size, shuffle=True, drop_last=True, collate_fn=put_together):
            self.train_step([self._placed(batch)])
        loader = DataLoader(validation, batch_size=batch_size, collate_fn=put_together)
        return self.evaluate([self._placed(batch) for batch in loader])

    def save(self, path: Path) -> None:
        """Model and optimizer, in one file."""
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}, path)

    def _placed(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: tensor.to(self.material.device) for name, tensor in batch.items()}
