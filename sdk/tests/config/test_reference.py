"""What a user may type for SOURCE or DEST, in the order in which it is understood."""

from __future__ import annotations

from pathlib import Path

import pytest
from wherry.config.project import Project
from wherry.config.reference import Reference, resolve
from wherry.errors import UsageError
from wherry.host.registry import Registry
from wherry_distributions import write_distribution

YAML = """\
sources:
  shop: {connector: acme, url: acme://h}
  local: {connector: ./mine.py}
  typo: {connector: acne}
  acme: {connector: tables}
destinations:
  wh: {connector: lake}
pipelines:
  nightly: {source: shop, destination: wh}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "site").mkdir()
    groups = {
        "wherry.sources": {"acme": "m:A", "tables": "m:F"},
        "wherry.sources.schemes": {"acme": "acme", "acmes": "acme"},
        "wherry.sources.suffixes": {"csv": "tables", "csv.gz": "tables", "folder": "tables"},
        "wherry.destinations": {"lake": "m:L"},
        "wherry.destinations.suffixes": {"lake": "lake"},
    }
    return Registry.scan([str(write_distribution(tmp_path / "site", "all", groups))])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    (folder / "data").mkdir(parents=True)
    (folder / "tables").mkdir()
    (folder / "sales").mkdir()
    for name in ("mine.py", "notes.xlsx", "acme.csv"):
        (folder / name).touch()
    monkeypatch.chdir(folder)
    return folder


def source(text: str, registry: Registry, project: Project) -> Reference:
    return resolve("source", text, registry, project)


@pytest.mark.parametrize(
    ("text", "connector", "value", "object"),
    [
        ("acme://ana:pw@h/db", "acme", "acme://ana:pw@h/db", None),
        ("ACMES://h", "acme", "ACMES://h", None),
        ("acme:rest:of it", "acme", "rest:of it", None),
        ("acme:", "acme", None, None),
        ("tables:acme://h", "tables", "acme://h", None),
        ("orders.csv", "tables", "orders.csv", None),
        ("./a.b/orders.csv.gz", "tables", "./a.b/orders.csv.gz", None),
        ("data", "tables", "data", None),
        ("./data", "tables", "./data", None),
        ("./later/", "tables", "./later/", None),
        ("./data/*", "tables", "./data/*", None),
        ("mine.py", "mine", None, "mine.py"),
        ("./mine.py:Thing", "mine", None, "./mine.py:Thing"),
        ("json.decoder:JSONDecoder", "JSONDecoder", None, "json.decoder:JSONDecoder"),
        ("mine:Thing", "Thing", None, "mine:Thing"),
        ("acme", "acme", None, None),
    ],
)
def test_each_form(
    registry: Registry, folder: Path, text: str, connector: str, value: str | None, object: str | None
) -> None:
    found = source(text, registry, Project.find())
    assert (found.connector, found.value, found.object) == (connector, value, object)
    assert (found.kind, found.name, found.origin) == ("source", None, "the command line")


def test_destinations_need_not_exist(registry: Registry, folder: Path) -> None:
    assert resolve("destination", "new/shop.lake", registry, Project.find()).connector == "lake"


def test_a_name_of_the_project_goes_before_all_else(registry: Registry, folder: Path) -> None:
    (folder / "wherry.yaml").write_text(YAML)
    project = Project.find()
    shop = source("shop", registry, project)
    assert (shop.connector, shop.name, shop.origin) == ("acme", "shop", "wherry.yaml, line 2")
    assert {key: (s.value, s.origin) for key, s in shop.settings.items()} == {
        "url": ("acme://h", "wherry.yaml, line 2")
    }
    assert source("acme", registry, project).connector == "tables"
    assert source("local", registry, project).object == f"{folder}/mine.py"
    assert resolve("destination", "wh", registry, project).connector == "lake"


def test_a_password_is_in_no_text_of_a_reference(registry: Registry, folder: Path) -> None:
    found = source("acme://ana:S3CR3T@h/db", registry, Project.find())
    assert found.text == "acme://ana@h/db"
    assert "S3CR3T" not in repr(found)


def test_a_folder_with_the_name_of_a_connector_is_not_guessed_at(registry: Registry, folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        source("tables", registry, Project.find())
    assert caught.value.message == "'tables' is a folder here and an installed source"
    assert caught.value.next == "write ./tables or tables: to say which"


@pytest.mark.parametrize(
    ("text", "message", "next"),
    [
        ("", "the source is empty", "name a source: wherry plugins lists those installed"),
        (
            "acne",
            "unknown source 'acne': no connector, file or folder has that name",
            "did you mean 'acme'? if not, pip install wherry-source-acne",
        ),
        (
            "salse",
            "unknown source 'salse': no connector, file or folder has that name",
            "did you mean the folder 'sales' here? if not, pip install wherry-source-salse",
        ),
        ("nightly", "'nightly' is a pipeline of wherry.yaml, no source", "wherry run nightly"),
        (
            "https://ana:S3CR3T@h/orders?a=1",
            "an address alone is no source: a manifest says how its rows are paged and keyed",
            "wherry preview --guess 'https://ana@h/orders?a=1' > NAME.yaml, then  wherry sync NAME.yaml DEST",
        ),
        ("shp", "unknown source 'shp'", "did you mean 'shop' of wherry.yaml?"),
        ("lake", "'lake' is installed as a destination, not as a source", "pip install wherry-source-lake"),
        ("acmess://u:pw@h", "no installed source takes acmess:// addresses: did you mean 'acmes'?", "write acmes://"),
        ("other://h", "no installed source takes other:// addresses", "pip install wherry-source-other"),
        ("other:x", "unknown source 'other'", "pip install wherry-source-other"),
        ("no_such_module:x", "unknown source 'no_such_module'", "pip install wherry-source-no_such_module"),
        ("notes.xlsx", "no installed source knows .xlsx files: notes.xlsx", "use one of: .csv .csv.gz"),
        ("gone.py", "no such file: gone.py", "write the path of a file with a source class"),
        ("./gone", "no such file or folder: ./gone", "correct the path, or create it"),
        ("typo", "unknown source 'acne'", "did you mean 'acme'?"),
    ],
)
def test_what_stands_for_nothing(registry: Registry, folder: Path, text: str, message: str, next: str) -> None:
    (folder / "wherry.yaml").write_text(YAML.replace("  acme: {connector: tables}\n", ""))
    with pytest.raises(UsageError) as caught:
        source(text, registry, Project.find())
    assert caught.value.message == message
    assert (caught.value.next or "").startswith(next)
    assert caught.value.where == ("source 'typo' of wherry.yaml, line 4" if text == "typo" else None)


def test_an_address_that_is_not_well_formed_shows_no_password(registry: Registry, folder: Path) -> None:
    assert source("acme://u:S3CR3T@[h", registry, Project.find()).text == "acme://u@[h"
