"""What a source logs is kept in the run log; warnings are shown as well."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from wherry.cli.run_log import RunLog
from wherry.cli.source_log import keeping
from wherry.config.redact import Redactor


def test_what_a_source_says_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    redactor = Redactor()
    redactor.add("S3CR3T")
    log = RunLog(tmp_path, redactor, pipeline="p")
    log.prepare()
    source = logging.getLogger("wherry.source")
    with keeping(log):
        source.debug("too much")
        source.info("hello %s", "S3CR3T")
        source.warning("careful")
    source.info("nobody listens")
    log.run_finished(run=1, outcome="ok", exit_code=0, seconds=1, totals={})
    (file,) = tmp_path.glob("runs/p/*.jsonl")
    text = file.read_text()
    assert '"level": "info", "text": "hello ***"' in text
    assert '"level": "warning", "text": "careful"' in text
    assert "too much" not in text
    assert "nobody" not in text
    assert source.level == logging.NOTSET
