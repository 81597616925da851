"""What can go wrong between here and the Hub: tried again if that may help, explained with its remedy if not."""

import json
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError, HTTPError  # HTTPError: from the client of this huggingface_hub
from huggingface_hub.utils import parse_ratelimit_headers

Result = TypeVar("Result")

# what huggingface_hub raises: a broken connection is an HTTPError and no OSError, a refused card a ValueError, a large
# file that could not be sent a RuntimeError
HUB_ERRORS = (HTTPError, OSError, ValueError, RuntimeError)
WAITS_S = (2.0, 8.0, 30.0)  # before the second, third and fourth try
LONGEST_WAIT_S = 120.0  # whatever the Hub asks for
_BUSY_STATUSES = (408, 429, 500, 502, 503, 504)
_REMEDIES = {
    401: "the token is invalid or has expired: log in again with `hf auth login`, or set HF_TOKEN to a valid one",
    403: "the token may not write there: is {owner!r} you, or an organization of yours? Log in with `hf auth login`, "
    "or set HF_TOKEN, with a token that may write to it",
    404: "nothing of that name exists, or the token may not see it: check the spelling and the token's rights",
}


def with_retries(
    action: Callable[[], Result], *, doing: str, say: Callable[[str], None], wait: Callable[[float], None]
) -> Result:
    """Do `action`; if the Hub is busy or the connection breaks, do it again, up to four times in all.

    `action` must be safe to repeat: a request whose reply is lost may have been carried out.

    Args:
        doing: What it is, for the line that announces a new try.
        wait: Called with seconds, such as `time.sleep`.

    Raises:
        What the last try raised, or the first that no new try would mend.
    """
    for number, usual_wait_s in enumerate(WAITS_S, start=2):
        try:
            return action()
        except HUB_ERRORS as error:
            if not _is_passing(error):
                raise
            wait_s = min(_requested_wait_s(error) or usual_wait_s, LONGEST_WAIT_S)
            say(f"{doing}: {in_short(error)}; trying again in {wait_s:g} s (try {number} of {len(WAITS_S) + 1})")
        wait(wait_s)
    return action()


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status behind an error, also behind one that was raised from it."""
    while error is not None:
        if isinstance(error, HfHubHTTPError):
            return int(error.response.status_code)
        error = error.__cause__
    return None


def in_short(error: BaseException) -> str:
    """One line: what the Hub said, or how the connection ended."""
    cause = error
    while not isinstance(cause, HTTPError) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, HfHubHTTPError):
        status = f"the Hub answered {cause.response.status_code} {cause.response.reason_phrase}".rstrip()
        return ": ".join(filter(None, [status, " ".join((cause.server_message or "").split())]))
    text = " ".join(str(cause).split())
    if isinstance(cause, json.JSONDecodeError):
        return f"the answer is not the Hub's ({text})"
    if isinstance(cause, HTTPError):
        return f"the connection to the Hub broke ({type(cause).__name__}: {text})"
    return text or type(cause).__name__


def remedy_for(error: BaseException, *, hub_model_id: str, endpoint: str) -> str:
    """What the user can do about it."""
    status = status_of(error)
    if status in _REMEDIES:
        return _REMEDIES[status].format(owner=hub_model_id.partition("/")[0])
    if status in _BUSY_STATUSES:
        return "the Hub is busy or at fault: try again later"
    if "metadata" in str(error):
        return "that is the head of best/README.md, made from names and languages in config.yaml: correct them there"
    if status is None and not isinstance(error, ValueError):
        return f"try again; if it fails again, check that {endpoint} is within reach"
    return "see what it says"


def _is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed later; huggingface_hub itself tries again to send large files."""
    if isinstance(error, HfHubHTTPError):
        return status_of(error) in _BUSY_STATUSES
    # no JSON: something between here and the Hub answered instead
    return isinstance(error, HTTPError | ConnectionError | TimeoutError | json.JSONDecodeError)


def _requested_wait_s(error: BaseException) -> float | None:
    """Seconds that the Hub asked to wait, if it did."""
    if not isinstance(error, HfHubHTTPError):
        return None
    headers = error.response.headers
    retry_after = headers.get("Retry-After", "").strip()
    if retry_after.isdigit():
        return float(retry_after)
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit is not None and limit.remaining == 0 else None
