"""What a source says in its log (`Run.log`), kept in the run log beside what happened to its rows."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from wherry.cli.run_log import RunLog

NAME = "wherry.source"


class _Into(logging.Handler):
    """Each record is a `message` of the run log, which redacts it."""

    def __init__(self, log: RunLog) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = "warning" if record.levelno >= logging.WARNING else "info"
            self._log.message(level=level, text=record.getMessage())
        except Exception:
            self.handleError(record)


@contextlib.contextmanager
def keeping(log: RunLog) -> Iterator[None]:
    """Meanwhile the log of sources goes into the run log, from INFO on; warnings are shown to people as well."""
    logger, into = logging.getLogger(NAME), _Into(log)
    before = logger.level
    logger.addHandler(into)
    logger.setLevel(logging.INFO)
    if not logging.root.handlers and logging.lastResort is not None:
        logger.addHandler(logging.lastResort)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(into)
        if logging.lastResort is not None:
            logger.removeHandler(logging.lastResort)
