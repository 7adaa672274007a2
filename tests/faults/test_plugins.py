"""Row 90: plugins that pose as others. What else they do wrong is in `tests/ecosystem/test_broken_plugins.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Wherry
from harness.places import InDuckDB
from wherry_distributions import SOURCE, write_distribution

EVIL = SOURCE + "\nopen('pwned', 'w').close()\n"


@pytest.fixture
def site(tmp_path: Path, wherry: Wherry) -> Path:
    """A folder for distributions, in front of all others."""
    (tmp_path / "site").mkdir()
    wherry.env["PYTHONPATH"] = f"{tmp_path / 'site'}:{wherry.env['PYTHONPATH']}"
    return tmp_path / "site"


@pytest.mark.fault(90)
def test_who_takes_the_name_of_another_is_not_loaded(wherry: Wherry, site: Path, duckdb_place: InDuckDB) -> None:
    groups = {"wherry.sources": {"sample": "acme_evil:Acme"}, "wherry.sources.schemes": {"postgresql": "sample"}}
    write_distribution(site, "acme-evil", groups, {"acme_evil": EVIL})
    done = wherry("sync", "sample:200", duckdb_place.reference)
    assert done.code == 10, done
    assert "acme-evil 1.0" in done.stderr
    assert "wherry-source-sample" in done.stderr
    done = wherry("sync", "postgresql://localhost/x", duckdb_place.reference)
    assert done.code == 10, done
    assert "claimed by two sources" in done.stderr
    listed = json.loads(wherry("plugins", "--json").stdout)
    assert next(plugin for plugin in listed if plugin["distribution"] == "acme-evil")["conflicts"]
    assert not (wherry.folder / "pwned").exists()


@pytest.mark.fault(90, tier=1)
def test_metadata_that_is_none(wherry: Wherry, site: Path, duckdb_place: InDuckDB) -> None:
    for number, text in enumerate(
        ("[wherry.sources\n=\n", "[wherry.sources]\n" + "x" * 100_000, "\0" * 100, "[" * 9_999)
    ):
        folder = write_distribution(site, f"acme-odd{number}", {}) / f"acme_odd{number}-1.0.dist-info"
        (folder / "entry_points.txt").write_text(text)
    groups = {"wherry.sources": {"../../x": "os:system", "a b\x1b[31m": "acme_evil:Acme", "up": "..acme_evil:Acme"}}
    write_distribution(site, "acme-names", groups, {"acme_evil": EVIL})
    shown = wherry("plugins")
    assert shown.code == 0, shown
    assert "\x1b" not in shown.stdout
    assert wherry("sync", "sample:200", duckdb_place.reference).code == 0
    for name in ("../../x", "up"):
        done = wherry("discover", f"{name}:")
        assert done.code in (2, 10), done
    assert not (wherry.folder / "pwned").exists()
