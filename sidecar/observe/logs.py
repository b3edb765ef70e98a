"""One way out for every log line: ours, libraries', warnings, tracebacks; masked when it is rendered already.

Masking works on the finished line, because only there it is certain that nothing is added any more: nested values,
bytes, the arguments of exceptions, what a library wrote on its own. Tracebacks never show locals. Logging must not
raise and must not end the program: a broken line is written as far as it goes, a broken stream is given up.

The line for people is rendered in here: structlog's own renderer needs ``structlog.dev``, which loads rich where that
is installed (design.md section 3).
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Final, TextIO

from sidecar.adapters.lean_imports import lean
from sidecar.secrets import MASKER

with lean():
    import structlog
    from structlog.typing import FilteringBoundLogger

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_CHATTY: Final = ("httpx", "httpcore", "aiohttp.access", "asyncio")
"""Libraries that tell every request at ``info``; they are heard from ``warning`` up, or with ``log.level: debug``."""
_FIRST: Final = ("timestamp", "level", "event", "logger")
_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
_EVENT_WIDTH: Final = 32

Event = MutableMapping[str, Any]


def set_up(
    *,
    log_format: str = "auto",
    level: str = "info",
    stream: TextIO | None = None,
    fields: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Send everything that is logged to ``stream`` (standard error); may be called again with other settings.

    ``log_format``: ``json``, ``text``, or ``auto`` (text on a terminal). ``fields`` stand in every line.
    """
    stream = stream or sys.stderr
    terminal = _is_terminal(stream)
    output = _Output(stream, as_json=log_format == "json" or (log_format == "auto" and not terminal), terminal=terminal)
    threshold = _LEVELS[level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _Fields(fields),
            output,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_Lines,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Handler(output, _Fields(fields))]
    root.setLevel(threshold)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(
            threshold if threshold < _LEVELS["info"] else max(threshold, _LEVELS["warning"])
        )
    # Otherwise a broken call of logging prints its arguments past all of this.
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def logger(name: str) -> FilteringBoundLogger:
    """Return the logger of one part of the program, such as ``agent``; usable before ``set_up``."""
    log: FilteringBoundLogger = structlog.get_logger(name)
    return log


class _Fields:
    """Adds what every line of this process carries."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = dict(fields)

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        return {**self._fields, **event}


class _Output:
    """Renders, masks and writes one line; the last processor of structlog, and the end of the stdlib's handler."""

    def __init__(self, stream: TextIO, *, as_json: bool, terminal: bool) -> None:
        self._stream = stream
        self._as_json = as_json
        self._coloured = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._lost = 0

    def __call__(self, logger: _Lines, _method: str, event: Event) -> str:
        if logger.name:
            event.setdefault("logger", logger.name)
        self.write(event)
        return ""

    def write(self, event: Event, at: float | None = None) -> None:
        """Write one event; ``at`` is its time in seconds since the epoch.

        One that nobody takes is lost, and told of later: a reader that has stalled behind a full pipe would stop the
        event loop, and with it heartbeat, probes and shutdown.
        """
        if not _takes(self._stream):
            self._lost += 1
            return
        lost, self._lost = self._lost, 0
        if lost:
            self.write({"level": "warning", "event": "log lines were lost: nobody took them", "lines": lost})
        try:
            line = self._render(event, datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC))
        except Exception as error:  # noqa: BLE001 - a value that cannot be shown must not end the program
            line = f"a log line could not be rendered: {type(error).__name__}"
        try:
            self._stream.write(MASKER.mask(line) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # Nobody reads any more (closed, broken pipe, full disk): the seat matters more than the line.
            return

    def _render(self, event: Event, time: datetime) -> str:
        values = dict(event)
        trace = _trace(values.pop("exc_info", None))
        if trace:
            values["exception"] = trace
        values["timestamp"] = f"{time.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
        ordered = {name: values.pop(name) for name in _FIRST if name in values} | values
        return _as_json(ordered) if self._as_json else _as_text(ordered, coloured=self._coloured)


class _Lines:
    """What structlog hands finished lines to; they are written by then. It only knows whose logger it is."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, _line: str) -> None:
        """Do nothing."""

    debug = info = warning = error = critical = exception = msg


class _Handler(logging.Handler):
    """Sends what libraries log by the standard library the same way."""

    def __init__(self, output: _Output, fields: _Fields) -> None:
        super().__init__()
        self._output = output
        self._fields = fields

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's broken format must not end the program
            message = f"{_in_words(record.msg)} {_safe_repr(record.args)}"
        event: Event = {"level": record.levelname.lower(), "event": message, "logger": record.name}
        if record.exc_info:
            event["exc_info"] = record.exc_info
        if record.stack_info:
            event["stack"] = record.stack_info
        self._output.write(self._fields(None, "", event), record.created)


def _as_json(values: Mapping[str, Any]) -> str:
    try:
        return json.dumps(values, default=repr, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        # Keys that are no strings, circles, a repr that fails: as strings, one by one.
        return json.dumps({str(name): _in_words(value) for name, value in values.items()}, ensure_ascii=False)


def _as_text(values: Mapping[str, Any], *, coloured: bool) -> str:
    rest = {name: value for name, value in values.items() if name not in (*_FIRST, "exception", "stack")}
    level = str(values.get("level", ""))
    word = f"{level:<8}"
    if coloured:
        word = f"\x1b[{_COLOURS.get(level, '0')}m{word}\x1b[0m"
    event = _one_line(_in_words(values.get("event", "")))
    if "logger" in values:
        rest["logger"] = values["logger"]
    shown = " ".join(f"{name}={_value(value)}" for name, value in rest.items())
    line = f"{values['timestamp']} {word} {event:<{_EVENT_WIDTH if shown else 0}} {shown}".rstrip()
    for block in ("stack", "exception"):
        if block in values:
            line += "\n" + "\n".join(f"    {_one_line(each)}" for each in str(values[block]).rstrip().splitlines())
    return line


def _value(value: Any) -> str:
    text = _in_words(value)
    return (
        text
        if text and text.isprintable() and " " not in text and '"' not in text
        else json.dumps(text, ensure_ascii=False)
    )


def _one_line(text: str) -> str:
    """Return the text with control characters escaped: what a server wrote must not move the cursor or forge a line."""
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _in_words(value: Any) -> str:
    return str(value) if isinstance(value, str) else _safe_repr(value)


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - somebody else's repr
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _trace(exc_info: Any) -> str:
    """Return a traceback without locals, or nothing."""
    if exc_info is True:
        exc_info = sys.exc_info()
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    return "".join(traceback.format_exception(error)).rstrip() if isinstance(error, BaseException) else ""


def _takes(stream: TextIO) -> bool:
    """Tell whether a line can be written without waiting; for a pipe that means one of 4 KiB at least."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return bool(poll.poll(0))
    except (OSError, ValueError):  # no file of the system's, or closed
        return True


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logging.getLogger("sidecar").critical("uncaught exception", exc_info=(kind, error, trace))


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        name = arguments.thread.name if arguments.thread else "a thread"
        logging.getLogger("sidecar").critical("uncaught exception in %s", name, exc_info=arguments.exc_value)


def _unraisable(arguments: Any) -> None:
    where = _safe_repr(arguments.object)
    logging.getLogger("sidecar").error(
        "%s: %s", arguments.err_msg or "ignored exception in", where, exc_info=arguments.exc_value
    )
