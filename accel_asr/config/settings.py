"""What a run is: one frozen dataclass for each section. `training`, `lora` and the effects have files of their own.

The field docstrings become `--help` and docs/settings.md, and no other text documents them. Nothing heavy is imported.
"""

from collections.abc import Iterator
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal

from accel_asr.config.augmentation_settings import AugmentConfig, SpecAugmentConfig
from accel_asr.config.fallback_settings import Fallback
from accel_asr.config.guard_settings import GuardConfig
from accel_asr.config.lora_settings import LoraConfig
from accel_asr.config.training_settings import TrainingConfig

NormalizerName = Literal["basic", "english", "multilingual", "open_asr", "none"]
TrackerName = Literal["tensorboard", "trackio", "wandb"]


@dataclass(frozen=True)
class ModelConfig:
    """The model to fine-tune, its language and task."""

    name_or_path: str = "openai/whisper-tiny"
    """Hub name or local folder of a Whisper model with its processor, or of an adapter (peft) of one; `quickstart` is
    the embedded base model."""
    revision: str | None = None
    """Branch, tag or commit of the model on the Hub."""
    language: str | None = None
    """Language spoken: a code (`de`, `de-DE`, `deu`) or a name (`German`). Required unless the model is
    English-only."""
    language_stand_ins: dict[str, str] = field(default_factory=dict)
    """For languages without a token of their own, the language whose token to use, such as `{ckb: fa}`. Applies to
    `model.language` and to the languages of rows and sources."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """`transcribe` keeps the language; `translate` trains towards English text."""
    freeze: list[str | dict[str, int]] = field(default_factory=list)
    """Parts that are not trained: `encoder`; `decoder`, with its embeddings; `embeddings` of tokens (also the output
    projection) and positions; `encoder_layers: N`, the lowest N and the convolutions before them. Such as
    `[encoder]`, or `[encoder_layers: 2, embeddings]`."""
    frozen_dtype: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16`: with `training.mixed_precision: bf16`, store the frozen weights of linear layers and convolutions in
    half the memory. Nothing changes by it: those are rounded so at each use anyway, and originals are saved."""
    cache_encoder_outputs: bool = False
    """With `freeze: [encoder]`: run the encoder over each training clip once, before training, and keep its outputs on
    disk in float16, in `data.cache_dir`. Their size is printed before anything starts."""


@dataclass(frozen=True)
class TextConfig:
    """What is done to the texts of training and validation; by default nothing. The model card lists it."""

    lowercase: bool = False
    """Lower-case the texts."""
    remove_punctuation: bool = False
    """Replace punctuation by spaces, except apostrophes and hyphens inside words."""
    replacements: dict[str, str] = field(default_factory=dict)
    """Replacements made before everything else, such as `{"&": " and "}`."""
    written_times: Literal["refuse", "read"] = "refuse"
    """Times written in texts, as in `<|0.00|> five<|0.50|>`: `refuse` drops and counts such rows; `read` moves the
    times from the text to the labels with timestamps (`data.timestamps_probability`)."""


@dataclass(frozen=True)
class SourceConfig:
    """One of several sources in `data.sources`; whatever is unset is as in `data`."""

    name_or_path: str = ""
    """As `data.name_or_path`."""
    name: str | None = None
    """Its name in the reports; default is the last part of `name_or_path`."""
    weight: float | None = None
    """Its share of an epoch's training utterances, relative to the other weights. Without weights, every row is
    used."""
    replay: bool = False
    """General data that is mixed in so that the model keeps what it could do: `weight` is its share of an epoch (0.2 is
    a fifth), so many of its rows are drawn, and it is not validated on. The other sources need no weights."""
    validate: bool = True
    """Whether to validate on its rows."""
    subset: str | None = None
    """As `data.subset`."""
    revision: str | None = None
    """As `data.revision`."""
    train_split: str | None = None
    """As `data.train_split`."""
    eval_split: str | None = None
    """As `data.eval_split`."""
    eval_name_or_path: str | None = None
    """As `data.eval_name_or_path`, for this source only."""
    audio_column: str | None = None
    """As `data.audio_column`."""
    text_column: str | None = None
    """As `data.text_column`."""
    tier: str | None = None
    """As `data.tier`."""
    speaker: str | None = None
    """As `data.speaker`."""
    start_column: str | None = None
    """As `data.start_column`."""
    end_column: str | None = None
    """As `data.end_column`."""
    duration_column: str | None = None
    """As `data.duration_column`."""
    audio_root: str | None = None
    """As `data.audio_root`."""
    language: str | None = None
    """Language of all its rows, if no column gives it."""
    task: Literal["transcribe", "translate"] | None = None
    """Task of all its rows."""
    license: str | None = None
    """As `data.license`."""


@dataclass(frozen=True)
class DataConfig:
    """Where the recordings and their texts come from, which rows are used, and how they are split."""

    name_or_path: str | None = None
    """Hub dataset; manifest file (`.csv .tsv .jsonl .json .parquet`), or several by a pattern (`data/train-*.jsonl`);
    local folder: `metadata.csv|tsv|jsonl`, also in a folder for each split, tables named by split (`train.tsv`,
    `dev.json`), a Hub dataset downloaded with its `README.md` or Parquet files, Common Voice, Kaldi (`wav.scp`),
    LibriSpeech, LJSpeech, a `.txt` beside each audio file, or what `save_to_disk` wrote; WebDataset shards
    (`shards/{000..012}.tar`, also by `https://`); or `quickstart` for the embedded clips."""
    sources: list[SourceConfig] = field(default_factory=list)
    """Several sources instead of `name_or_path`; each is a section in the YAML file."""
    subset: str | None = None
    """Subset (configuration) of a Hub dataset, or folder of a local one, such as `en-US`."""
    revision: str | None = None
    """Branch, tag or commit of a Hub dataset."""
    license: str | None = None
    """Licence of the recordings and texts, such as `cc-by-4.0`, for the model card."""
    train_split: str = "train"
    """Split to train on, or a part of it: `train[:90%]`. Where `eval_split` is a part of the same split, the rest of
    it. In a manifest: the rows with this value in the `split` column, or all rows if there is no such column. In a
    folder: the tables or the sub-folder of that name. A local source may use another common name (`dev`, `valid`)."""
    eval_split: str | None = None
    """Split to validate on. Set one of `eval_split`, `eval_name_or_path`, `train_rows`, `eval_fraction`, `eval_rows`;
    the first two go together."""
    eval_name_or_path: str | None = None
    """A separate file or folder to validate on, such as `dev.tsv`: anything that `name_or_path` takes. Uses its split
    `eval_split` if set, else its validation split, or all of it if it has none."""
    train_rows: int | None = None
    """Train on the first N rows that pass the filters, in order, and validate on the rest."""
    eval_fraction: float | None = None
    """Hold out this share of the rows for validation, chosen at random by `training.seed`."""
    eval_rows: int | None = None
    """Hold out this many rows for validation, chosen at random by `training.seed`."""
    group_column: str | None = None
    """Column, such as the speaker, for a group-disjoint split: all rows with the same value are on the same side, so
    that `eval_fraction` or `eval_rows` is met only approximately. `text` keeps each sentence on one side. With a
    separate validation set, groups that are on both sides are reported."""
    overlap: Literal["refuse", "drop", "allow"] = "refuse"
    """What to do with recordings that are in both training and validation, which makes scores too good: `refuse` ends
    the run before training, `drop` leaves them out of training, `allow` trains on them."""
    audio_column: str = "audio"
    """Column with the audio: Hub audio feature, or path relative to the manifest."""
    text_column: str = "text"
    """Column with the text to learn."""
    tier: str | None = None
    """Tiers of annotations (Praat, ELAN) with the text to learn: a name, a type of tier in ELAN, or a pattern such as
    `tx@*`. By default the only tier of utterances, else of words, by its name; otherwise the run lists them all."""
    speaker: str | None = None
    """Use only what this speaker says, by name or by a pattern such as `interviewer*`, in annotations that name
    speakers. Rows without a speaker are left out."""
    start_column: str | None = "auto"
    """Column with the start of a row in its recording, in seconds or as `00:01:02.5`. `auto` recognises the usual
    names, such as `start`, `begin_time`, `start_ms`, `offset` or `audio: {start_time}`; null uses no column."""
    end_column: str | None = "auto"
    """Column with the end of a row; as `data.start_column`."""
    duration_column: str | None = "auto"
    """Column with the length of the segment that begins at the start or ends at the end; as `data.start_column`.
    Without either, it is the length of the whole recording, and rows whose recording has another length are refused."""
    language_column: str | None = "language"
    """Column with the language of each row, if the source has it; overrides `model.language`."""
    task_column: str | None = None
    """Column with `transcribe` or `translate` for each row; empty cells mean `model.task`."""
    prompt_column: str | None = None
    """Column with the previous text, the decoder's prompt: not part of the loss. If too long, its end is used."""
    keywords_column: str | None = None
    """Column with a row's own keywords, `;` between them, which are scored beside `evaluation.keywords`."""
    breakdown_columns: list[str] = field(default_factory=list)
    """Columns, such as the speaker or the intent, by whose values the report and `accel-asr evaluate` break the scores
    down; `language+gender` crosses two."""
    reference_columns: list[str] = field(default_factory=list)
    """Columns with further references, such as other translations or transcripts, besides `text_column`: in evaluations
    each utterance is scored against the nearest one. Never trained on."""
    text: TextConfig = field(default_factory=TextConfig)
    """Text"""
    allow_outside_paths: bool = False
    """Let a manifest refer to files outside its own folder: by an absolute path, `..` or a link."""
    audio_root: str | None = None
    """Folder that a manifest's relative paths start from, instead of the manifest's own. Absolute paths from another
    machine are looked up in it by their last parts."""
    channel: int | None = None
    """Channel of each recording to use, counted from 0; by default the average of all."""
    max_duration_s: float = 30.0
    """Longer clips are dropped and counted. At most the model's window (30 s for Whisper)."""
    long_labels: Literal["drop", "cut"] = "drop"
    """What to do with a text of more tokens than the decoder has positions: drop the row, or cut the text at a word."""
    max_bad_fraction: float = 0.01
    """Rows whose audio can't be decoded are listed, counted and dropped; above this share of the rows, the run ends
    before training."""
    timestamps_probability: float | None = None
    """Share of the training labels with timestamps, so that the model keeps or learns them. By default none, and half
    of them with `join_segments` or `training.pack: recordings`."""
    previous_text_probability: float | None = None
    """Share of the training labels that keep their previous text: by default all of `data.prompt_column`, and half of
    the windows of `training.pack: recordings`, whose previous text is that of the rows before them."""
    join_segments: bool = False
    """Join neighbours of one recording, such as cues of subtitles, to rows of up to `max_duration_s`, with their pauses
    and their times; both for training and for validation. Training with `training.pack: recordings` joins them anew in
    each epoch instead, and leaves the validation as it is."""
    longest_pause_s: float = 3.0
    """Rows of one recording are neighbours if at most this much lies between them: with `join_segments` and
    `training.pack: recordings`. Longer stretches without a row may hold speech that nobody wrote down."""
    no_speech_fraction: float = 0.0
    """Share of the training rows of an epoch that are clips without speech, with an empty text: a model that was tuned
    on speech alone writes words for silence. They are made up, as digital silence, hiss and mains hum of 1 to 30 s,
    and come beside the utterances."""
    no_speech_dir: str | None = None
    """With `no_speech_fraction`: a folder of recordings without speech, of any length, from which as many of those
    clips are taken as are made up."""
    no_speech_gaps: bool = False
    """With `no_speech_fraction`: take as many again from the gaps of at least 1.4 s between rows of one long recording
    (`start_column`, `end_column`). Only where all speech of the recordings is in the rows."""
    streaming: bool = False
    """Read a Hub dataset or tar shards while training; only the validation data is stored. Requires
    `training.max_steps`, `evaluation.eval_steps`, and `eval_split`, `eval_name_or_path` or `eval_rows` (the first rows
    of the stream)."""
    streaming_block_rows: int = 500
    """When streaming: rows of a shard that are shuffled together, in memory."""
    features_on_device: bool | None = None
    """Compute log-mel features by batches on the training device, from samples that the workers decode; the default on
    a GPU. They equal the CPU's up to rounding."""
    cache_dir: str | None = None
    """Where indexes of sources are cached; default is `$ACCEL_ASR_CACHE`, or `~/.cache/accel_asr`."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How transcripts are made and scored. Every validation utterance is scored exactly once."""

    eval_on_start: bool = True
    """Score the untouched model first: the baseline."""
    eval_steps: int | None = None
    """Evaluate every N optimizer steps; by default after every epoch. The last step is always evaluated."""
    guards: list[GuardConfig] = field(default_factory=list)
    """What training must not make worse: sets that are scored too, each a section in the YAML file. `best/` is the best
    model among those that hold every guard, whose rates are above the untouched model's by no more than `margin`."""
    guard_every: int = 1
    """Score the guards at every N-th evaluation, and at the last. Only models with scored guards can become `best/`."""
    keywords: list[str] = field(default_factory=list)
    """Words and phrases that matter most, such as names and terms: how many are recognised is scored, and `accel-asr
    plan` measures what a prompt of them changes. An entry that ends with `.txt` is a file with one on each line."""
    keywords_prompt: bool = False
    """Give the keywords to the decoder as the previous text of every utterance that is scored, in place of
    `data.prompt_column`. Long recordings are transcribed without."""
    word_confidence: bool = False
    """Keep the probability of each word beside its transcript, and report how well it tells right words from wrong ones
    and whether it means what it says. Takes one more pass of the decoder."""
    no_speech: bool = True
    """Before training, and at the end for the best model: transcribe made-up clips in which nobody speaks (silence,
    hiss, hum, music, babble), and report in how many of them words are written."""
    long_form: str = "joined"
    """Recordings longer than the model's window, which are transcribed from window to window before training, and at
    the end by the best model: `joined`, validation clips with pauses between them, 2 to 5 minutes long, of one group,
    speaker or recording where that is known; a Hub dataset, a folder or a manifest with long rows; or `none`."""
    long_form_recordings: int = 3
    """At most so many of them."""
    long_form_decoding: Fallback = field(default_factory=Fallback)
    """Decoding of long recordings"""
    per_device_eval_batch_size: int | None = None
    """Utterances in one generation batch on one device; default is 32, and up to 128 on a GPU for models whose decoder
    needs little memory for each."""
    generation_max_length: int = 225
    """Largest number of tokens in a transcript, without the start tokens; transcripts cut off there are counted."""
    audio_context: Literal["full", "merged"] = "full"
    """What the encoder gets: `full`, its whole window, as other programs will use the model; or `merged`, as in
    `training.audio_context`: much faster for short clips, and now and then another word."""
    num_beams: int = 1
    """Beams of the beam search; 1 is greedy decoding."""
    compile_decoding: bool = False
    """Compile the decoder's step with a static key/value cache; greedy only. The first batch waits for the compiler, so
    it pays only for many batches. Meant for GPUs, but tested on CPUs only."""
    normalizer: NormalizerName = "basic"
    """Normaliser of both texts for the normalised scores: Whisper's `basic` or `english`; `multilingual`, which is
    `basic` but keeps combining marks (Thai, Hindi, Arabic); `open_asr`, the rules of the Open ASR leaderboard of 2026,
    English or multilingual by the language of each row; or `none`."""


@dataclass(frozen=True)
class CheckpointConfig:
    """Checkpoints, and resuming from them."""

    save_steps: int | None = None
    """Save every N optimizer steps; by default after every evaluation."""
    save_total_limit: int = 2
    """Keep this many of the newest checkpoints. `best/` and `last/` always stay."""
    average_last: int | None = None
    """After the last step, score the mean of the trained weights of the last N checkpoints; it becomes `best/` if it
    beats the best so far beyond chance, or holds a guard that the last model breaks. At most `save_total_limit`."""
    interpolate: bool = False
    """After the last step, score weights between those of the base model (alpha 0) and the last ones (alpha 1): 0.25,
    0.5, 0.75 and two more around the most promising alpha. One becomes `best/` as with `average_last`."""
    resume: bool = False
    """Resume from the newest checkpoint in `output_dir`, or start from the beginning if there is none."""
    allow_changes: bool = False
    """With `resume`: continue although settings or data that the result depends on have changed; each change is
    printed. Scores measured in another way are put aside, and `best/` is chosen anew."""


@dataclass(frozen=True)
class TrackingConfig:
    """What a run logs, besides `metrics.jsonl`, which it always writes."""

    report_to: list[TrackerName] = field(default_factory=lambda: ["tensorboard"])
    """Trackers: `tensorboard`, `trackio`, `wandb`; `[]` for none. The last two need `pip install 'accel-asr[trackio]'`
    or `[wandb]`, and log to this machine only unless you are logged in to Weights & Biases, or set trackio's
    variables."""
    project_name: str = "accel_asr"
    """Project in trackio and Weights & Biases; the run has the name of the folder `output_dir`."""
    log_samples: int = 8
    """Log the transcripts of the first N validation utterances to the trackers at each evaluation, and their audio at
    the first; 0 for none."""
    logging_steps: int = 10
    """Log the training loss every N optimizer steps: the mean per target token since the last time."""


@dataclass(frozen=True)
class HubConfig:
    """Publishing the best model after training."""

    push_to_hub: bool = False
    """Upload `best/` with its model card when training has ended."""
    push_adapter: bool = False
    """Upload `best_adapter/`, the adapter alone, in place of the whole model in `best/`."""
    hub_model_id: str | None = None
    """Name on the Hub: `user/name`."""
    license: str | None = None
    """Licence of the published model as the Hub names it, such as `apache-2.0`, for the model card."""
    hub_private_repo: bool | None = None
    """Make a new repository private, or not; default is the account's own. An existing repository stays as it is, and a
    public one is refused if this is true."""
    hub_revision: str | None = None
    """Branch to push to, created if missing; default is `main`."""


@dataclass(frozen=True)
class Config:
    """Everything about a run. Topology and precision belong to `accelerate launch`."""

    output_dir: str | None = None
    """Run folder; default is `runs/<name of the recipe or YAML file>`, or `runs/<model>-<data>` without one."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Model"""
    data: DataConfig = field(default_factory=DataConfig)
    """Data"""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Training"""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """Adapters"""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Effects on the sound"""
    spec_augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    """Masks on features (SpecAugment)"""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Evaluation"""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    """Checkpoints"""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """Tracking"""
    hub: HubConfig = field(default_factory=HubConfig)
    """Hub"""

    @property
    def timestamps_probability(self) -> float:
        """`data.timestamps_probability`, or what it is by default."""
        given = self.data.timestamps_probability
        return given if given is not None else 0.5 * (self.data.join_segments or self.training.pack == "recordings")

    @property
    def previous_text_probability(self) -> float:
        """`data.previous_text_probability`, or what it is by default."""
        given = self.data.previous_text_probability
        return given if given is not None else 0.5 if self.training.pack == "recordings" else 1.0

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain nested dictionaries, in the order of the sections."""
        return asdict(self)


def default_settings() -> dict[str, Any]:
    """What every setting is where nobody sets it."""
    return Config().to_dict()


def settings_of(section: type, prefix: str = "") -> Iterator[tuple[str, "Field[Any]"]]:
    """(dotted name, field) of every setting of a section, those of its own sections included."""
    for setting in fields(section):
        if isinstance(setting.type, type) and is_dataclass(setting.type):
            yield from settings_of(setting.type, f"{prefix}{setting.name}.")
        else:
            yield f"{prefix}{setting.name}", setting
