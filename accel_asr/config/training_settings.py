"""Settings of training: optimizer, schedule, batches, precision."""

from dataclasses import dataclass, field
from typing import Literal

MixedPrecision = Literal["no", "fp16", "bf16"]
CheckpointedLayers = Literal["none", "encoder", "decoder", "both"]
CompiledParts = Literal["none", "encoder_layers"]
OptimizerName = Literal["adamw_torch_fused", "adamw_8bit", "adafactor", "muon"]
SchedulerType = Literal[
    "linear",
    "cosine",
    "cosine_with_min_lr",
    "warmup_stable_decay",
    "inverse_sqrt",
    "polynomial",
    "constant",
    "constant_with_warmup",
]


@dataclass(frozen=True)
class TrainingConfig:
    """Optimizer, schedule and batches."""

    learning_rate: float | None = None
    """Peak learning rate. The default depends on the model's size: a fortieth of the rate that OpenAI trained it with,
    3.75e-5 for tiny, 2.5e-5 base, 1.25e-5 small, 6.25e-6 medium, about 5e-6 large and turbo. Of adapters (`lora`):
    3e-4 up to small, 1.6e-4 medium, 1e-4 large and turbo."""
    learning_rate_multipliers: dict[str, float] = field(default_factory=dict)
    """Factors of the learning rate by part of the model, such as `{encoder: 0.1, embeddings: 0}`. The parts are
    `encoder`, `decoder`, and `embeddings`: of the decoder's tokens and positions, and without a factor of their own
    with the decoder's."""
    optim: OptimizerName = "adamw_torch_fused"
    """The optimizer. `adamw_8bit` (extra `optim8bit`) keeps its state in 8 bits; `adafactor` keeps rows and columns of
    it; `muon` keeps half of it and orthogonalises the updates of linear layers, all else is AdamW's. All take AdamW's
    learning rates."""
    lr_scheduler_type: SchedulerType = "linear"
    """Transformers' schedule of that name, after a warmup, which only `constant` does without. Those that fall to zero
    would reach it one step after the last."""
    lr_scheduler_kwargs: dict[str, int | float | str] = field(default_factory=dict)
    """What else the schedule takes, such as `{num_cycles: 2}`, by transformers' names: `num_cycles` (cosine), `min_lr`
    or `min_lr_rate` (cosine_with_min_lr), `num_decay_steps`, `decay_type`, `warmup_type`, `min_lr_ratio`
    (warmup_stable_decay), `power`, `lr_end` (polynomial), `timescale` (inverse_sqrt)."""
    warmup_steps: int | float = 0.1
    """Optimizer steps of linear warmup, whatever the number of processes; below 1, a share of all steps."""
    early_stopping_patience: int | None = None
    """End the run after so many evaluations in a row without a lower WER; by default it goes on to the last step. The
    schedule keeps its planned length."""
    early_stopping_threshold: float = 0.0
    """With `early_stopping_patience`: by how much the WER must be below the best so far (0.01 is one word in a
    hundred)."""
    num_train_epochs: int = 3
    """Passes over the training data."""
    max_steps: int | None = None
    """Stop after this many optimizer steps, whatever `num_train_epochs` says."""
    per_device_train_batch_size: int = 16
    """Utterances (with `pack`: packed windows) in one micro-batch on one device."""
    gradient_checkpointing: CheckpointedLayers = "none"
    """Layers that keep only their inputs for the backward pass, and compute the rest once more: less memory, the same
    gradients, about a third more time for what is checkpointed. `encoder` saves most, as audio is longer than text."""
    compile: CompiledParts = "none"
    """`encoder_layers`: torch compiles the encoder's layers for training steps, which the first step waits for. Meant
    for GPUs, and slower than without on a CPU. Steps are rounded differently; evaluations are not compiled."""
    global_batch_size: int | None = None
    """Utterances in one optimizer step over all processes; `gradient_accumulation_steps` then follows from it. By
    default it is processes x `gradient_accumulation_steps` x `per_device_train_batch_size`."""
    batch_size: Literal["auto"] | None = None
    """`auto`: real steps before training find the largest micro-batch that fits the device, and accumulation makes up
    the rest of the global batch, so that the update is the same. `config.yaml` records what was found."""
    audio_context: Literal["full", "merged"] = "full"
    """What the encoder gets: `full`, its whole window; or `merged`, the window with its padding merged, which hears the
    same for about half of the time where clips are short."""
    gradient_accumulation_steps: int = 1
    """Micro-batches per device in one optimizer step; their token losses are summed, then divided once."""
    dataloader_drop_last: bool = True
    """Drop the last, incomplete global batch of an epoch (training only; each epoch is shuffled differently)."""
    group_by_length: bool = False
    """Put clips of similar length into one global batch; the batches and their order still change with every epoch."""
    batch_seconds: float | None = None
    """Micro-batches of about this many seconds of audio, instead of `per_device_train_batch_size` utterances. Whisper
    pads every clip to its window, so memory depends on how many clips that is."""
    pack: Literal["recordings"] | bool = False
    """Join short utterances until they fill the model's window, which is computed whole anyway; each epoch joins
    others. `per_device_train_batch_size` then counts packed windows. This is a different training: the texts of a
    window become one label, joined by spaces. Validation is not packed. `recordings` joins only neighbours of one
    recording, to windows of it with their pauses, times and the text before, as Whisper was trained."""
    dataloader_num_workers: int | None = None
    """Worker processes per rank that decode audio and compute log-mel features; 0 does it in the main process. The
    default is 0 on a CPU, whose cores all train; with a GPU the cores of the rank's share but 2, at most 8."""
    weight_decay: float = 0.0
    """Weight decay; biases and layer norms are exempt."""
    label_smoothing_factor: float = 0.0
    """Share of the target probability that is spread evenly over the vocabulary, such as 0.1. The training loss that is
    logged is then that of the smoothed targets; the loss of an evaluation never is."""
    max_grad_norm: float = 1.0
    """Clip the gradient norm to this; 0 doesn't clip."""
    ema_decay: float | None = None
    """Keep an exponential moving average of the trained weights with this decay, such as 0.999. It is scored after the
    last step, and becomes `best/` as with `checkpoint.average_last`. The decay rises to it: after n steps it is at
    most (1 + n) / (10 + n)."""
    mixed_precision: MixedPrecision | None = None
    """`no`, `fp16` or `bf16`; default is the launcher's choice. Weights and optimizer stay in fp32."""
    deterministic: bool = False
    """On a GPU, use only kernels that give the same bits each time, which are slower; a run that needs another kernel
    ends with its name. Changes nothing on a CPU."""
    ddp_timeout: int = 1800
    """Seconds after which a rank stops waiting for the others."""
    seed: int = 42
    """Seed of the shuffles, the held-out rows and the random number generators."""
