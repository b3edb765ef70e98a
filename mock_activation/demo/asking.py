"""Questions to the actors over HTTP: JSON, a probe's line, one value of the metrics. Standard library only.

Each question has a connection and a time-out of its own, and no proxy; no answer is one exception.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

_TIMEOUT: Final = 3.0


class NoAnswerError(Exception):
    """Nobody answered, or not what was expected; the text says what was seen."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of an answer."""

    status: int
    text: str

    @property
    def line(self) -> str:
        """Return the body as one line."""
        return " ".join(self.text.split())


def ask(url: str, method: str = "GET", body: object = None) -> Answer:
    """Send one request and return what was answered, whatever the status. Raises ``NoAnswerError``."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
    try:
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"{parts.netloc} does not answer ({type(error).__name__})") from error
    finally:
        connection.close()


def ask_json(url: str, method: str = "GET", body: object = None) -> Any:
    """Send one request and return the JSON of its answer. Raises ``NoAnswerError``, also for a status from 400 on."""
    answer = ask(url, method, body)
    if answer.status >= http.client.BAD_REQUEST:
        raise NoAnswerError(f"{method} {url} was answered with {answer.status}: {answer.line}")
    try:
        return json.loads(answer.text)
    except ValueError as error:
        raise NoAnswerError(f"{method} {url} was not answered with JSON") from error


def ask_metric(url: str, name: str, **labels: str) -> float:
    """Return one value of a Prometheus exposition. Raises ``NoAnswerError`` if it is not there."""
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    for line in ask(url).text.splitlines():
        if line.startswith("#"):
            continue
        series, _, value = line.rpartition(" ")
        found, _, listed = series.partition("{")
        if found == name and wanted == set(filter(None, listed.rstrip("}").split(","))):
            return float(value)
    raise NoAnswerError(f"{url} has no {name}{{{','.join(sorted(wanted))}}}")
