"""What a run is: one frozen dataclass for each section, with every field documented here and nowhere else.

The field docstrings become `--help` and the README's table of settings. Nothing heavy is imported.
"""

from collections.abc import Iterator
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal

MixedPrecision = Literal["no", "fp16", "bf16"]
NormalizerName = Literal["basic", "english", "multilingual", "none"]
SchedulerType = Literal["constant_with_warmup", "linear"]
TrackerName = Literal["tensorboard", "trackio", "wandb"]


@dataclass(frozen=True)
class ModelConfig:
    """The model to fine-tune, and how it is told what to do."""

    name_or_path: str = "openai/whisper-tiny"
    """Hub name or local folder of a Whisper model with its processor; `quickstart` is the embedded base model."""
    revision: str | None = None
    """Branch, tag or commit of the model on the Hub."""
    language: str | None = None
    """Language spoken, a code (`de`, `de-DE`, `deu`) or a name (`German`); needed unless the model is English-only."""
    language_stand_ins: dict[str, str] = field(default_factory=dict)
    """Languages that the model has no token for, each with the one whose token takes its place, such as `{ckb: fa}`:
    in `model.language` and in those of rows and sources alike."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """`transcribe` keeps the language; `translate` trains towards English text."""
    freeze_encoder: bool = False
    """Train the decoder only."""
    cache_encoder_outputs: bool = False
    """With `freeze_encoder`: let the encoder hear each training clip once, before training, and keep what it says on
    disk as float16, in `data.cache_dir`. Its size is said before anything starts."""


@dataclass(frozen=True)
class TextConfig:
    """What is done to every text, of training and validation alike; nothing unless set. The model card says it."""

    lowercase: bool = False
    """Turn texts into lower case."""
    remove_punctuation: bool = False
    """Turn punctuation into spaces, but for apostrophes and hyphens inside of words."""
    replacements: dict[str, str] = field(default_factory=dict)
    """What to put in place of what, before all else, such as `{"&": " and "}`."""
    written_times: Literal["refuse", "read"] = "refuse"
    """Times that stand in texts, as in `<|0.00|> five<|0.50|>`: `refuse` leaves such rows out and counts them; `read`
    takes them out of the text, and into the labels that have times (`data.timestamps_probability`)."""


@dataclass(frozen=True)
class SourceConfig:
    """One of several sources in `data.sources`; what is unset is as `data` says."""

    name_or_path: str = ""
    """As `data.name_or_path`."""
    name: str | None = None
    """What the reports call it; unset is the last part of `name_or_path`."""
    weight: float | None = None
    """Share of the training utterances of an epoch, against the other weights; unset everywhere trains on every row."""
    validate: bool = True
    """Whether rows of it are validated on."""
    subset: str | None = None
    """As `data.subset`."""
    revision: str | None = None
    """As `data.revision`."""
    train_split: str | None = None
    """As `data.train_split`."""
    eval_split: str | None = None
    """As `data.eval_split`."""
    eval_name_or_path: str | None = None
    """As `data.eval_name_or_path`, for this source alone."""
    audio_column: str | None = None
    """As `data.audio_column`."""
    text_column: str | None = None
    """As `data.text_column`."""
    start_column: str | None = None
    """As `data.start_column`."""
    end_column: str | None = None
    """As `data.end_column`."""
    duration_column: str | None = None
    """As `data.duration_column`."""
    audio_root: str | None = None
    """As `data.audio_root`."""
    language: str | None = None
    """Language of all its rows, for what has no column that says it."""
    task: Literal["transcribe", "translate"] | None = None
    """Task of all its rows."""
    license: str | None = None
    """As `data.license`."""


@dataclass(frozen=True)
class DataConfig:
    """Where the recordings and their texts come from, which are kept, and how they are split."""

    name_or_path: str | None = None
    """Hub dataset; manifest file (`.csv .tsv .jsonl .json .parquet`), or several by a pattern (`data/train-*.jsonl`);
    local folder: `metadata.csv|tsv|jsonl`, also in a folder for each split, tables named by split (`train.tsv`,
    `dev.json`), a Hub dataset downloaded with its `README.md` or Parquet files, Common Voice, Kaldi (`wav.scp`),
    LibriSpeech, LJSpeech, a `.txt` beside each audio file, or what `save_to_disk` wrote; WebDataset shards
    (`shards/{000..012}.tar`, also by `https://`); or `quickstart` for the embedded clips."""
    sources: list[SourceConfig] = field(default_factory=list)
    """Several sources in one run, in place of `name_or_path`; each a section of its own in the YAML file."""
    subset: str | None = None
    """Subset (configuration) of a Hub dataset, or folder of a local one, such as `en-US`."""
    revision: str | None = None
    """Branch, tag or commit of a Hub dataset."""
    license: str | None = None
    """Licence of the recordings and texts, such as `cc-by-4.0`, for the model card."""
    train_split: str = "train"
    """Split to train on, also a part of it, `train[:90%]`; where `eval_split` is a part of it, the rest. In a manifest:
    the rows whose `split` column says so, or all when it has none; in a folder: the tables or the sub-folder of that
    name. Of a local source, a usual other name (`dev`, `valid`) is taken where only one can be meant, and said."""
    eval_split: str | None = None
    """Split to validate on. Set one of `eval_split`, `eval_name_or_path`, `train_rows`, `eval_fraction`, `eval_rows`;
    the first two go together."""
    eval_name_or_path: str | None = None
    """What to validate on where it is a file or folder of its own, such as `dev.tsv`: anything that `name_or_path`
    takes. With `eval_split` that split of it, else its validation split, or all of it if it has none."""
    train_rows: int | None = None
    """Train on the first so many rows that remain after the filters, in order, and validate on the rest."""
    eval_fraction: float | None = None
    """Hold out this share of the rows for validation, chosen by `training.seed`."""
    eval_rows: int | None = None
    """Hold out so many rows for validation, chosen by `training.seed`."""
    group_column: str | None = None
    """Column, such as the speaker, whose rows of one value are held out together or not at all, as near to
    `eval_fraction` or `eval_rows` as whole groups come; `text` keeps each sentence on one side. With a validation set
    of its own, what is on both sides is said."""
    overlap: Literal["refuse", "drop", "allow"] = "refuse"
    """What to do if a recording that is validated on is also trained on, so that scores come out too good: end before
    training, leave it out of training, or train on it all the same."""
    audio_column: str = "audio"
    """Column with the audio: Hub audio feature, or path relative to the manifest."""
    text_column: str = "text"
    """Column with the text to learn."""
    start_column: str | None = "auto"
    """Column with the time at which a row begins in its recording, in seconds or as `00:01:02.5`. `auto` finds the
    usual names, such as `start`, `begin_time`, `start_ms`, `offset` or `audio: {start_time}`; null looks for none."""
    end_column: str | None = "auto"
    """Column with the time at which a row ends; as `data.start_column`."""
    duration_column: str | None = "auto"
    """Column with the length of the segment that a start or an end begins or ends. Alone, it is the length of the whole
    recording: rows where it is not are refused. As `data.start_column`."""
    language_column: str | None = "language"
    """Column with the language of each row, where the source has it; it wins over `model.language`."""
    task_column: str | None = None
    """Column that says `transcribe` or `translate` for each row; empty cells are as `model.task`."""
    prompt_column: str | None = None
    """Column with the text that came before, given to the decoder and not learnt. Its end is kept if it is too long."""
    breakdown_columns: list[str] = field(default_factory=list)
    """Columns, such as the speaker or the intent, by whose values the scores are told too, in the report and by
    `accel-asr evaluate`."""
    text: TextConfig = field(default_factory=TextConfig)
    """Text"""
    allow_outside_paths: bool = False
    """Let a manifest name files outside of its own folder: by an absolute path, `..` or a link."""
    audio_root: str | None = None
    """Folder that relative paths in a manifest start from, in place of the manifest's own, and in which the files are
    looked for that it names by absolute paths of another machine: by the end of each path."""
    channel: int | None = None
    """Channel to take from each recording, counted from 0; unset averages all."""
    max_duration_s: float = 30.0
    """Longer clips are left out, and counted. Never more than the model's window (30 s for Whisper)."""
    long_labels: Literal["drop", "cut"] = "drop"
    """What to do with a text that the decoder's positions can't hold: leave the row out, or cut the text at a word."""
    max_bad_fraction: float = 0.01
    """Audio that can't be decoded is named, counted and left out; above this share of the rows the run ends before
    training."""
    timestamps_probability: float = 0.0
    """Share of the training labels that carry begin and end times, so that a model keeps or learns timestamps."""
    streaming: bool = False
    """Read a Hub dataset or tar shards while training, and keep only what is validated on. Wants `training.max_steps`,
    `evaluation.eval_steps`, and `eval_split`, `eval_name_or_path` or `eval_rows` (the first rows of the stream)."""
    streaming_block_rows: int = 500
    """Rows of a shard that are shuffled together, in memory, when streaming."""
    features_on_device: bool | None = None
    """Compute log-mel features batch by batch on the device that trains, of samples that the workers decode; unset does
    so on a GPU. Equal to the CPU's but for rounding."""
    cache_dir: str | None = None
    """Where indexes of sources are kept, for the next run; unset is `$ACCEL_ASR_CACHE`, or `~/.cache/accel_asr`."""


@dataclass(frozen=True)
class TrainingConfig:
    """How the weights move."""

    learning_rate: float | None = None
    """Peak learning rate of AdamW. Unset, it suits the model's size: a fortieth of the rate that OpenAI trained it
    with, 3.75e-5 for tiny, 2.5e-5 base, 1.25e-5 small, 6.25e-6 medium, about 5e-6 large and turbo."""
    lr_scheduler_type: SchedulerType = "linear"
    """After the linear warmup: fall linearly, to reach zero one step after the last, or stay constant."""
    warmup_steps: int | float = 0.1
    """Optimizer steps of linear warmup, whatever the processes and micro-batches; below 1, a share of all steps."""
    num_train_epochs: int = 3
    """Passes over the training data."""
    max_steps: int | None = None
    """Stop after so many optimizer steps, however many epochs that is (fewer or more than `num_train_epochs`)."""
    per_device_train_batch_size: int = 16
    """Utterances, or windows of them with `pack`, in one micro-batch on one device."""
    audio_context: Literal["full", "speech"] = "full"
    """What the encoder hears: its whole window; or the longest clip of the global batch and at least 1 s, cheaper for
    short clips and not the same. Every eighth step then hears more, the last tenth of the steps all, and the model is
    judged by both."""
    gradient_accumulation_steps: int = 1
    """Micro-batches of each device in one optimizer step; their token losses are summed, then divided once."""
    dataloader_drop_last: bool = True
    """Leave out the last, incomplete global batch of an epoch (training only; the shuffle differs by epoch)."""
    group_by_length: bool = False
    """Put clips of like length into one global batch; which, and in which order, still changes with every epoch."""
    batch_seconds: float | None = None
    """Make micro-batches of about so many seconds of audio in place of `per_device_train_batch_size` utterances.
    Whisper pads every clip to its window, so memory goes with how many clips that is."""
    pack: bool = False
    """Join short utterances, others in each epoch, until they fill the model's window, which is computed whole anyway;
    `per_device_train_batch_size` then counts packed windows. Not the same training: the texts of a window are one
    label, joined by spaces. Validation is not packed."""
    dataloader_num_workers: int = 2
    """Worker processes on each rank that decode audio and compute log-mel features; 0 does it in the loop."""
    weight_decay: float = 0.0
    """AdamW weight decay; biases and layer norms are exempt."""
    max_grad_norm: float = 1.0
    """Clip the gradient norm to this; 0 leaves it alone."""
    mixed_precision: MixedPrecision | None = None
    """`no`, `fp16` or `bf16`; unset takes the launcher's choice. Weights and optimizer stay in fp32."""
    ddp_timeout: int = 1800
    """Seconds after which a rank gives up waiting for the others."""
    seed: int = 42
    """Seeds the shuffles, the held-out rows and the random number generators."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How transcripts are made and scored. Every validation utterance is scored exactly once."""

    eval_on_start: bool = True
    """Score the untouched model first: the baseline."""
    eval_steps: int | None = None
    """Evaluate every so many optimizer steps; unset evaluates after every epoch. The last step is always evaluated."""
    per_device_eval_batch_size: int = 32
    """Utterances in one generation batch on one device."""
    generation_max_length: int = 225
    """Most tokens of a transcript, start tokens not counted; transcripts cut off there are counted."""
    num_beams: int = 1
    """Beams of the search; 1 is greedy."""
    compile_decoding: bool = False
    """Compile the decoder's step, on a key/value cache of fixed size; greedy only. The first batch then waits for the
    compiler, so it can pay only where many are decoded. Tested on CPUs only; meant for GPUs, and not measured there."""
    full_context_margin: float = 0.01
    """With `training.audio_context: speech`: how much higher than the untouched model's the WER at the whole window may
    be (0.01 is one word in a hundred) before the run says so loudly."""
    normalizer: NormalizerName = "basic"
    """What is done to both texts before the normalised scores: Whisper's basic or English normaliser; `multilingual`,
    which is as basic, but keeps the marks of letters (Thai, Hindi, Arabic); or nothing."""


@dataclass(frozen=True)
class CheckpointConfig:
    """What is kept to go on from."""

    save_steps: int | None = None
    """Save every so many optimizer steps; unset saves after every evaluation."""
    save_total_limit: int = 2
    """Keep so many of the newest checkpoints. `best/` and `last/` always stay."""
    resume: bool = False
    """Go on from the newest checkpoint in `output_dir`; starts from the beginning when it holds none."""
    allow_changes: bool = False
    """With `resume`: go on although settings or data have changed that the result depends on; each is said. Scores that
    were measured otherwise are put aside, and `best/` is chosen anew."""


@dataclass(frozen=True)
class TrackingConfig:
    """What is written while it runs, beside `metrics.jsonl`, which always is."""

    report_to: list[TrackerName] = field(default_factory=lambda: ["tensorboard"])
    """Trackers: `tensorboard`, `trackio`, `wandb`; `[]` for none. The last two want `pip install 'accel-asr[trackio]'`
    or `[wandb]`, and stay on this machine unless you are logged in to Weights & Biases, or set trackio's variables."""
    project_name: str = "accel_asr"
    """Project in trackio and Weights & Biases; the run is called as the folder `output_dir`."""
    log_samples: int = 8
    """Show the transcripts of the first so many validation utterances in the trackers at each evaluation, and their
    audio at the first; 0 for none."""
    logging_steps: int = 10
    """Write the training loss, the mean of a target token since it was written last, every so many optimizer steps."""


@dataclass(frozen=True)
class HubConfig:
    """Publishing the best model after training."""

    push_to_hub: bool = False
    """Upload `best/` with its model card when training has ended."""
    hub_model_id: str | None = None
    """Name on the Hub: `user/name`."""
    license: str | None = None
    """Licence of the model that is published, as the Hub names it, such as `apache-2.0`, for the model card."""
    hub_private_repo: bool | None = None
    """Make a new repository private, or not; unset is as the account has it. One that is there keeps what it is, and a
    public one is refused when true is asked for."""
    hub_revision: str | None = None
    """Branch to push to, made if it is not there; unset is `main`."""


@dataclass(frozen=True)
class Config:
    """Everything about a run. Topology and precision belong to `accelerate launch`."""

    output_dir: str | None = None
    """Run folder; unset is `runs/<name of the recipe or YAML file>`, without one `runs/<model>-<data>`."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Model"""
    data: DataConfig = field(default_factory=DataConfig)
    """Data"""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Training"""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Evaluation"""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    """Checkpoints"""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """Tracking"""
    hub: HubConfig = field(default_factory=HubConfig)
    """Hub"""

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain nested dictionaries, in the order of the sections."""
        return asdict(self)


def settings_of(section: type, prefix: str = "") -> Iterator[tuple[str, "Field[Any]"]]:
    """(dotted name, field) of every setting of a section, those of its own sections included."""
    for setting in fields(section):
        if isinstance(setting.type, type) and is_dataclass(setting.type):
            yield from settings_of(setting.type, f"{prefix}{setting.name}.")
        else:
            yield f"{prefix}{setting.name}", setting
