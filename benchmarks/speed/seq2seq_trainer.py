"""The `trainer`: transformers' Seq2SeqTrainer with its best settings.

Fused AdamW, SDPA, features computed by workers when a batch needs them, `predict_with_generate` with language and task
given, so that nothing is guessed.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import PrinterCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback

from accel_asr.data.loading.items import Item
from accel_asr.model.folder.generation_settings import is_multilingual
from benchmarks.speed.hand_written import LEARNING_RATE
from benchmarks.speed.material import RATE_HZ, Material
from benchmarks.speed.timing import TensorMemory


class ComputedRows(Dataset[dict[str, Any]]):
    """Rows whose features the model's extractor computes on access."""

    def __init__(self, material: Material, rows: Sequence[int]) -> None:
        self.extractor = material.extractor
        self.samples = [material.samples(row) for row in rows]
        self.labels = [list(material.encoder.encode(material.text(row)).token_ids[1:]) for row in rows]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> dict[str, Any]:
        audio = self.samples[row].astype("float32") / 32_768
        return {
            "input_features": self.extractor(audio, sampling_rate=RATE_HZ).input_features[0],
            "labels": self.labels[row],
        }


class PreparedRows(Dataset[dict[str, Any]]):
    """Rows whose features are in memory, over and over `times` times."""

    def __init__(self, items: Sequence[Item], times: int = 1) -> None:
        self.items, self.times = items, times

    def __len__(self) -> int:
        return len(self.items) * self.times

    def __getitem__(self, row: int) -> dict[str, Any]:
        item = self.items[row % len(self.items)]
        return {"input_features": item.clip, "labels": list(item.token_ids[1:])}


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Stack features, pad labels with -100."""
    longest = max(len(row["labels"]) for row in rows)
    labels = torch.full((len(rows), longest), -100)
    for index, row in enumerate(rows):
        labels[index, : len(row["labels"])] = torch.tensor(row["labels"])
    return {"input_features": torch.stack([torch.as_tensor(row["input_features"]) for row in rows]), "labels": labels}


def make_trainer(
    material: Material,
    train: Dataset[Any],
    *,
    batch_size: int,
    mixed_precision: str,
    validation: Dataset[Any] | None = None,
    accumulation_steps: int = 1,
    max_steps: int = -1,
    num_workers: int = 0,
    callbacks: list[TrainerCallback] | None = None,
    logging_steps: int = 1_000_000,
    in_order: bool = False,
    eval_batch_size: int = 0,
) -> Seq2SeqTrainer:
    """A trainer that writes nothing and shows nothing. `trainer.transcripts` has the transcripts."""
    tokenizer = material.processor.tokenizer
    model = material.model(attention="sdpa")
    if is_multilingual(model.generation_config):
        model.generation_config.language, model.generation_config.task = "en", "transcribe"
    model.generation_config.max_length = None
    model.generation_config.max_new_tokens = material.size.max_new_tokens
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(material.folder / "trainer"),
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=eval_batch_size or batch_size,
        gradient_accumulation_steps=accumulation_steps,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant_with_warmup",
        max_grad_norm=1.0,
        num_train_epochs=1,
        max_steps=max_steps,
        optim="adamw_torch_fused",
        bf16=mixed_precision == "bf16",
        predict_with_generate=True,
        dataloader_num_workers=num_workers,
        dataloader_drop_last=False,
        remove_unused_columns=False,
        label_names=["labels"],
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=logging_steps,
        report_to=[],
        disable_tqdm=True,
        use_cpu=material.device.type == "cpu",
        train_sampling_strategy="sequential" if in_order else "random",
    )
    transcripts: list[str] = []

    def keep_transcripts(predicted: Any) -> dict[str, float]:
        ids = predicted.predictions
        ids[ids < 0] = tokenizer.pad_token_id
        transcripts[:] = tokenizer.batch_decode(ids, skip_special_tokens=True)
        return {}

    trainer = Seq2SeqTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=collate,
        compute_metrics=keep_transcripts,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.transcripts = transcripts
    return trainer


class StepsOfTrainer(TrainerCallback):
    """`trainer.train()` in its own thread, which makes one optimizer step for each call of `step`."""

    def __init__(self, material: Material, items: Sequence[Item], *, mixed_precision: str) -> None:
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._stop = False
        self._memory: TensorMemory | None = None
        self._counted: TensorMemory | None = None
        self.problem: BaseException | None = None
        rows = PreparedRows(items, times=10_000)
        self.trainer = make_trainer(
            material, rows, batch_size=len(items), mixed_precision=mixed_precision, callbacks=[self], in_order=True
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._done.acquire()  # it has made its first batch

    def step(self) -> None:
        """One optimizer step, and what the trainer does after it: its records, and the next batch."""
        self._go.release()
        self._done.acquire()
        if self.problem is not None:
            raise self.problem

    def peak_mb_of_step(self) -> float:
        """The most that tensors made in one step take; counted in the trainer's own thread."""
        self._memory = TensorMemory(self.trainer.args.device)
        self.step()
        assert self._counted is not None
        return self._counted.peak_mb

    def close(self) -> None:
        """End the training."""
        self._stop = True
        self._go.release()
        self._thread.join()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Wait for `step`; after `close` a last step is made."""
        self._done.release()
        self._go.acquire()
        if self._memory is not None:
            self._memory.__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End the measurement of memory, or the training, where requested."""
        if self._memory is not None:
            self._memory.__exit__(None, None, None)
            self._memory, self._counted = None, self._memory
        control.should_training_stop = self._stop

    def _run(self) -> None:
        try:
            self.trainer.train()
        except BaseException as error:
            self.problem = error
        self._done.release()


def first_gradient_norm(
    material: Material, items: Sequence[Item], *, accumulation_steps: int, mixed_precision: str
) -> float:
    """The gradient norm that the trainer reports of its first update, of all items in `accumulation_steps` parts."""
    trainer = make_trainer(
        material,
        PreparedRows(items),
        batch_size=len(items) // accumulation_steps,
        mixed_precision=mixed_precision,
        accumulation_steps=accumulation_steps,
        max_steps=1,
        logging_steps=1,
        in_order=True,
    )
    trainer.train()
    return float(next(record["grad_norm"] for record in trainer.state.log_history if "grad_norm" in record))


def save(trainer: Seq2SeqTrainer, folder: Path) -> None:
    """What the trainer writes at a checkpoint: model, optimizer, schedule, generators, its own state."""
    trainer.args.output_dir = str(folder)
    trainer._save_checkpoint(trainer.model, trial=None)
