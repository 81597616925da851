"""What can go wrong between here and the Hub: tried again where that helps, else told with its remedy."""

import json
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError, HTTPError  # HTTPError: of the client that this huggingface_hub uses
from huggingface_hub.utils import parse_ratelimit_headers

Result = TypeVar("Result")

# what huggingface_hub raises: a broken connection is an HTTPError and no OSError, a refused card a ValueError, a large
# file that could not be sent a RuntimeError
HUB_ERRORS = (HTTPError, OSError, ValueError, RuntimeError)
WAITS_S = (2.0, 8.0, 30.0)  # before the second, third and fourth try
LONGEST_WAIT_S = 120.0  # whatever the Hub asks for
_BUSY_STATUSES = (408, 429, 500, 502, 503, 504)


def with_retries(
    action: Callable[[], Result], *, doing: str, say: Callable[[str], None], wait: Callable[[float], None]
) -> Result:
    """Do `action`; when the Hub is busy or the connection breaks, do it again, up to four times in all.

    `action` must be safe to repeat: a request whose answer is lost may have been carried out.

    Args:
        doing: What it is, for the line that tells of a new try.
        wait: Called with seconds, such as `time.sleep`.

    Raises:
        What the last try raised, or the first one that no new try would mend.
    """
    for number, usual_wait_s in enumerate(WAITS_S, start=2):
        try:
            return action()
        except HUB_ERRORS as error:
            if not is_passing(error):
                raise
            wait_s = min(_asked_wait_s(error) or usual_wait_s, LONGEST_WAIT_S)
            say(f"{doing}: {in_short(error)}; trying again in {wait_s:g} s (try {number} of {len(WAITS_S) + 1})")
        wait(wait_s)
    return action()


def is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed later, large files aside: huggingface_hub tries those again itself."""
    if isinstance(error, HfHubHTTPError):
        return status_of(error) in _BUSY_STATUSES
    # no JSON: something between here and the Hub answered in its place
    return isinstance(error, HTTPError | ConnectionError | TimeoutError | json.JSONDecodeError)


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status behind an error, also behind one that was raised from it."""
    while error is not None:
        if isinstance(error, HfHubHTTPError):
            return int(error.response.status_code)
        error = error.__cause__
    return None


def in_short(error: BaseException) -> str:
    """One line: what the Hub said, or how the connection ended."""
    told = error
    while not isinstance(told, HTTPError) and told.__cause__ is not None:
        told = told.__cause__
    if isinstance(told, HfHubHTTPError):
        status = f"the Hub answered {told.response.status_code} {told.response.reason_phrase}".rstrip()
        said = " ".join((told.server_message or "").split())
        return f"{status}: {said}" if said else status
    words = " ".join(str(told).split())
    if isinstance(told, json.JSONDecodeError):
        return f"the answer is not the Hub's ({words})"
    if isinstance(told, HTTPError):
        return f"the connection to the Hub broke ({type(told).__name__}: {words})"
    return words or type(told).__name__


def remedy_for(error: BaseException, *, hub_model_id: str, endpoint: str) -> str:
    """What the user can do about it."""
    status = status_of(error)
    if status in _REMEDIES:
        return _REMEDIES[status].format(owner=hub_model_id.partition("/")[0])
    if status in _BUSY_STATUSES:
        return "the Hub is busy, or has a fault of its own: try again later"
    if "metadata" in str(error):
        return "that is the head of best/README.md, made from names and languages in config.yaml: mend them there"
    if status is None and not isinstance(error, ValueError):
        return f"try again; if it goes on, is {endpoint} within reach from here?"
    return "see what it says"


_REMEDIES = {
    401: "the token is not valid (any more): log in again with `hf auth login`, or set HF_TOKEN to a valid one",
    403: "the token may not write there: is {owner!r} you, or an organization of yours? Log in with `hf auth login`, "
    "or set HF_TOKEN, with a token that may write to it",
    404: "nothing of that name is there, or the token may not see it: mind the spelling, and the token's rights",
}


def _asked_wait_s(error: BaseException) -> float | None:
    """Seconds that the Hub asked to wait, if it did."""
    if not isinstance(error, HfHubHTTPError):
        return None
    headers = error.response.headers
    asked = headers.get("Retry-After", "").strip()
    if asked.isdigit():
        return float(asked)
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit is not None and limit.remaining == 0 else None
