"""No SQL is pasted together, and nothing that is read becomes code: a lint over every shipped module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path for part in ("sdk", "connectors", "destinations") for path in (ROOT / part).glob("**/src/**/*.py")
)
COMPOSER = ROOT / "sdk" / "src" / "wherry" / "sql" / "compose.py"
"""The one place where names and values become text."""
THINGS = r"(?:(?:or\s+replace|temp|temporary|unlogged|unique|materialized|recursive|if\s+(?:not\s+)?exists)\s+)*"
THINGS += r"(?:table|view|schema|index|sequence|type|role|database|function|trigger|policy|extension|column|user)\b"
STATEMENT = re.compile(
    r"\s*(?:select\s|insert\s+into\s|update\s+\S+\s+set\s|delete\s+from\s|merge\s+into\s|truncate\s|copy\s+\S+\s+(?:from|to)\s"
    rf"|(?:create|drop|alter|comment\s+on)\s+{THINGS}|with\s+\S+\s+as\s|grant\s|revoke\s|declare\s+\S+\s+cursor|fetch\s"
    r"|set\s+(?:local\s+|session\s+)?\S+\s*(?:to\s|=)|lock\s+table|values\s*\(|\(\s*select\s|where\s|from\s+\S+\s+where\s)",
    re.IGNORECASE,
)
CODE_FROM_DATA = {"eval", "exec", "compile"}
FORBIDDEN_IMPORTS = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
UNSAFE_YAML = {"load", "load_all", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all"}
"""Of the module `yaml`: its safe ones, and its events, remain."""


def starts_sql(node: ast.expr) -> bool:
    """Whether a text, pasted or plain, begins like a statement, or like a clause that only SQL has."""
    if isinstance(node, ast.JoinedStr) and node.values:
        return starts_sql(node.values[0])
    if isinstance(node, ast.BinOp):
        return starts_sql(node.left)
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(STATEMENT.match(node.value))


def pasted(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) of SQL put together from texts; what an error says to a person is no SQL."""
    told = {id(inner) for node in ast.walk(tree) if _is_error(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in told:
            continue
        if isinstance(node, ast.JoinedStr) and starts_sql(node):
            if any(isinstance(part, ast.FormattedValue) for part in node.values):
                yield node.lineno, "an f-string"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mod, ast.Add)) and starts_sql(node.left):
            yield node.lineno, "% or +"
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) and starts_sql(node.value):
            yield node.lineno, "+="
        elif isinstance(node, ast.Call) and _formats(node.func):
            yield node.lineno, ".format on text"


def _is_error(node: ast.AST) -> bool:
    """Whether it makes an error of ours."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error")


def _formats(function: ast.expr) -> bool:
    """Whether it is `"select …".format`."""
    named = isinstance(function, ast.Attribute) and function.attr in ("format", "format_map")
    return named and starts_sql(function.value)


def made_of_data(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, argument) of each `SQL(…)` that is not given a text written on the spot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "SQL":
            for argument in node.args:
                if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                    yield node.lineno, ast.unparse(argument)


def code_from_data(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) of everything that could turn data into code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CODE_FROM_DATA:
            yield node.lineno, node.func.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "yaml" and node.attr in UNSAFE_YAML:
                yield node.lineno, f"yaml.{node.attr}"
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in FORBIDDEN_IMPORTS)
        elif isinstance(node, ast.ImportFrom) and node.module in FORBIDDEN_IMPORTS | {"yaml"}:
            names = [alias.name for alias in node.names]
            if node.module != "yaml" or UNSAFE_YAML & set(names):
                yield node.lineno, f"from {node.module} import {', '.join(names)}"


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


ALLOWED = {
    ("connectors/postgres/src/wherry_source_postgres/queries.py", "selection.where"): "the user's own filter",
    ("connectors/postgres/src/wherry_source_postgres/queries.py", "query"): "the user's own statement",
    ("destinations/duckdb/src/wherry_destination_duckdb/ddl.py", "create"): "the catalog's text of an index",
    ("destinations/duckdb/src/wherry_destination_duckdb/types.py", "_NAMES[type]"): "a table of ours",
    ("destinations/duckdb/src/wherry_destination_duckdb/types.py", "named"): '"json" or "uuid"',
    ("destinations/duckdb/src/wherry_destination_duckdb/types.py", "str(type.list_size)"): "a number",
    ("destinations/duckdb/src/wherry_destination_duckdb/types.py", "str(type.precision)"): "a number",
    ("destinations/duckdb/src/wherry_destination_duckdb/types.py", "str(type.scale)"): "a number",
    ("destinations/postgres/src/wherry_destination_postgres/ddl.py", "right"): "the catalog's name of a privilege",
    ("destinations/postgres/src/wherry_destination_postgres/ddl.py", "view.options"): "the catalog's text of a view",
    ("destinations/postgres/src/wherry_destination_postgres/ddl.py", "view.query"): "the catalog's text of a view",
    ("destinations/postgres/src/wherry_destination_postgres/dialect.py", "template"): "a text of ours",
    ("destinations/postgres/src/wherry_destination_postgres/types.py", "_NAMES[field.type]"): "a table of ours",
    (
        "destinations/postgres/src/wherry_destination_postgres/types.py",
        "{b'json': 'json', b'uuid': 'uuid'}.get((field.metadata or {}).get(KIND, b''), 'text')",
    ): "a table of ours",
    ("sdk/src/wherry/sql/session.py", "sql"): "the user's own statement",
}
"""(file, argument of `SQL`) -> where that text comes from. What is allowed and gone has to go from here too."""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sql_is_pasted_and_no_data_becomes_code(path: Path) -> None:
    tree = parsed(path)
    assert not list(code_from_data(tree))
    if path != COMPOSER:
        assert not list(pasted(tree)), "compose it: SQL(…).format(table=Identifier(…), value=Literal(…))"


def test_every_distribution_is_looked_at() -> None:
    projects = {
        path.parent
        for part in ("sdk", "connectors/*", "destinations/*")
        for path in ROOT.glob(f"{part}/pyproject.toml")
    }
    assert len(projects) > 5
    assert projects == {
        next(parent for parent in path.parents if (parent / "pyproject.toml").exists()) for path in MODULES
    }


def test_sql_is_written_on_the_spot_or_comes_from_where_we_know() -> None:
    found = {
        (str(path.relative_to(ROOT)), argument)
        for path in MODULES
        if path != COMPOSER
        for _, argument in made_of_data(parsed(path))
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "text",
    [
        'f"select * from {table}"',
        'f"delete from {table} where id = 1"',
        'f"create temporary table if not exists {name} (id int)"',
        '"update %s set a = 1" % table',
        '"drop table " + name',
        '"select {} from t".format(column)',
        'f"where {column} is null"',
        'text += "alter table " + name',
        'text += "select 1"',
    ],
)
def test_pasted_sql_is_found(text: str) -> None:
    assert list(pasted(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        'SQL("select * from {table}").format(table=Identifier("t"))',
        'f"create {path}"',
        'f"updated {rows} rows"',
        'SchemaError("no", next=f"drop view {name}, run again, then create it again")',
        '"with {} of them".format(3)',
        're.compile("select 1")',
        "yaml.safe_load(text)",
    ],
)
def test_messages_and_composed_sql_are_not(text: str) -> None:
    tree = ast.parse(text)
    assert not [*pasted(tree), *made_of_data(tree), *code_from_data(tree)]


@pytest.mark.parametrize(
    "text",
    ["eval(text)", "exec(text)", "import pickle", "from pickle import loads", "yaml.load(f)", "yaml.full_load(f)"],
)
def test_code_made_of_data_is_found(text: str) -> None:
    assert list(code_from_data(ast.parse(text)))


def test_a_text_that_is_not_written_on_the_spot_is_found() -> None:
    assert [argument for _, argument in made_of_data(ast.parse('SQL(text); SQL("a" "b"); SQL(f"{x}")'))] == [
        "text",
        "f'{x}'",
    ]
