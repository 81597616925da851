"""Who speaks: espeak-ng voices in three sets that have no (accent, variant) in common.

A voice is written as espeak-ng takes it, `accent+variant`: the accent decides which sounds are said, the variant the
vocal tract, pitch range and breath that say them. Left out are the variants that whisper, croak, echo or play robots,
and the Klatt synthesiser's, which sound like none of the others.

The quickstart's variants do not occur in pretraining, so that fine-tuning has something to learn. Its accents do, so
that 450 clips are enough to learn it; but for New York's, the West Midlands' and, in validation only, Lancaster's.
"""

import random
import shutil
import subprocess
from dataclasses import dataclass

PRETRAINING_VARIANTS = {
    "en-us": (
        "m1 m3 m7 f1 f2 f4 john steph paul linda Alex Alicia Gene Mike Michael Hugo Denis Marco anika rob benjamin"
    ),
    "en": "m1 m4 f1 f2 f4 pedro Annie antonio edward quincy",
    "en-gb-x-rp": "m1 m3 f4 Andy steph2",
    "en-gb-scotland": "m3 m7 f1",
    "en-029": "m4 f2",
}
PRETRAINING_VOICES = tuple(
    f"{accent}+{variant}" for accent, variants in PRETRAINING_VARIANTS.items() for variant in variants.split()
)
QUICKSTART_TRAIN_VOICES = (
    "en-us+m2",
    "en-us+m5",
    "en-us+m8",
    "en-us+f3",
    "en-us+f5",
    "en-us+belinda",
    "en-us-nyc+michel",
    "en-us-nyc+f3",
    "en+m6",
    "en-gb-x-gbcwmd+f5",
)
QUICKSTART_VALIDATION_ONLY_VOICES = (
    "en-us+m6",
    "en-us+Andrea",
    "en-us-nyc+robert",
    "en-gb-x-gbclan+m2",
)

SPEEDS_WPM = (135, 190)  # lowest and highest, words a minute
PITCHES = (25, 75)  # espeak-ng's scale is 0..99, and 50 the voice's own
PLAIN_VOICE = "en"  # British; what espeak-ng speaks in for want of another
US_ACCENTS = ("en-us", "en-us-nyc")


@dataclass(frozen=True)
class Delivery:
    """How one clip is spoken."""

    voice: str  # accent+variant
    speed_wpm: int
    pitch: int  # 0..99


def draw_delivery(voice: str, rng: random.Random) -> Delivery:
    """Draw a speed and a pitch for a clip of this voice."""
    return Delivery(voice, speed_wpm=rng.randint(*SPEEDS_WPM), pitch=rng.randint(*PITCHES))


def locale_of(voice: str) -> str:
    """Return the MINDS-14 locale nearest to the voice's accent: en-US or en-GB."""
    return "en-US" if voice.split("+", maxsplit=1)[0] in US_ACCENTS else "en-GB"


def quickstart_voices(num_train: int, num_validation: int, rng: random.Random) -> tuple[list[str], list[str]]:
    """Deal voices to the training and the validation clips, evenly and shuffled.

    Every second validation clip is by a voice heard in training, the others by voices heard in validation only.
    """
    train = [QUICKSTART_TRAIN_VOICES[i % len(QUICKSTART_TRAIN_VOICES)] for i in range(num_train)]
    validation = []
    for i in range(num_validation):
        voices = QUICKSTART_VALIDATION_ONLY_VOICES if i % 2 == 0 else QUICKSTART_TRAIN_VOICES
        validation.append(voices[i // 2 % len(voices)])
    rng.shuffle(train)
    rng.shuffle(validation)
    return train, validation


def check_voices(voices: tuple[str, ...]) -> None:
    """Raise FileNotFoundError without espeak-ng, ValueError for a voice that it does not have.

    espeak-ng takes an accent or a variant that it does not know without a word, and speaks in another voice (so
    does `en-gb+f2`, while `en+f2` is British with the variant); so every voice has to sound like no other.
    """
    if shutil.which("espeak-ng") is None:
        raise FileNotFoundError("espeak-ng is not installed (Debian and Ubuntu: apt-get install espeak-ng)")
    heard: dict[bytes, str] = {}
    accents = [voice.split("+")[0] for voice in voices]
    for voice in dict.fromkeys((PLAIN_VOICE, *accents, *voices)):
        command = ["espeak-ng", "-v", voice, "--stdout", "Could you help me with my account"]
        sound = subprocess.run(command, check=True, capture_output=True).stdout
        if sound in heard:
            raise ValueError(f"this espeak-ng has no voice {voice!r} (it sounds like {heard[sound]!r})")
        heard[sound] = voice
