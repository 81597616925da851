"""Types of options for argparse, whose errors say what to give."""

import argparse
import math

MOST_TEMPERATURE = 2.0
MOST_DECIBELS = 100


def at_least_one(text: str) -> int:
    """A count."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def words(text: str) -> str:
    """A text that says something."""
    if not text.strip(" ,"):
        raise argparse.ArgumentTypeError(f"{text!r} has no words; give some, or leave it out")
    return text


def port(text: str) -> int:
    """A port to listen on."""
    number = int(text)
    if not 1 <= number <= 65_535:
        raise argparse.ArgumentTypeError(f"{number} is no port; ports are 1 to 65535")
    return number


def temperatures(text: str) -> tuple[float, ...]:
    """`0,0.2,0.4`."""
    values = tuple(_number(part) for part in text.split(","))
    if not all(0 <= value <= MOST_TEMPERATURE for value in values):
        raise argparse.ArgumentTypeError(f"{text} is out of range; give numbers between 0 and {MOST_TEMPERATURE:g}")
    return values


def decibels(text: str) -> float:
    """A level between two sounds."""
    value = _number(text)
    if not abs(value) <= MOST_DECIBELS:
        raise argparse.ArgumentTypeError(
            f"{text} is out of range; give numbers from -{MOST_DECIBELS} to {MOST_DECIBELS}"
        )
    return value


def threshold(text: str) -> float | None:
    """A finite number, or `none`."""
    value = None if text.lower() == "none" else _number(text)
    if value is not None and not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number, nor none")
    return value


def probability(text: str) -> float | None:
    """A number between 0 and 1, or `none`."""
    value = threshold(text)
    if value is not None and not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a probability between 0 and 1, or none")
    return value


def share(text: str) -> float:
    """A number above 0 and below 1."""
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number between 0 and 1, such as 0.05")
    return value


def positive(text: str) -> float:
    """A finite number above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number above 0")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!a} is no number; give one such as 0.2") from None
