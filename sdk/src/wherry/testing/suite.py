"""What the conformance suites share: waivers that must fail, and snapshots of what a connector promises."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pytest

from wherry.contracts.config import ConnectorConfig
from wherry.host.describe import describe
from wherry.host.page import BEGIN, END, filled, markdown

NOT_APPLICABLE = "does not apply: "
WAIVER = "wherry waiver: "


def does_not_apply(reason: str) -> NoReturn:
    """End a test that asks for what this connector does not have; counted apart from tests that were skipped."""
    pytest.skip(f"{NOT_APPLICABLE}{reason}")


class Suite:
    """Base of the suites.

    waivers: test name -> why this connector does not pass it. A parametrized test's name goes with its parameter,
    `test_x[append]`, or without, for all of them. A waived test that passes is a failure: remove the waiver.
    promises: a JSON file beside the tests that holds what the connector promises its users; a difference fails, and
    `pytest --wherry-update` writes it anew.  readme: the file whose tables, between `<!-- generated: wherry -->` and
    `<!-- end -->`, are those of `wherry plugins info --markdown`; it is compared, and written, in the same way.
    """

    connector: ClassVar[type[Any]]
    waivers: ClassVar[Mapping[str, str]] = {}
    promises: ClassVar[Path | None] = None
    readme: ClassVar[Path | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Mark the waived tests; a name that is no test of the suite is a mistake."""
        super().__init_subclass__(**kwargs)
        for name in cls.waivers:
            if not hasattr(cls, name.partition("[")[0]):
                raise TypeError(f"{cls.__name__}.waivers names {name}, which is no test of the suite")
        for name, reason in cls.waivers.items():
            if "[" not in name:
                setattr(cls, name, _marked(getattr(cls, name), reason))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parametrized tests of a suite carry their cases in a marker, so that single cases can be waived."""
        for marker in metafunc.definition.iter_markers("wherry_cases"):
            name, values = marker.args
            values = values(self) if callable(values) else values
            cases = [pytest.param(v, id=str(v), marks=self._marks(metafunc.function.__name__, v)) for v in values]
            metafunc.parametrize(name, cases)

    def _marks(self, test: str, value: object) -> list[pytest.MarkDecorator]:
        reason = self.waivers.get(f"{test}[{value}]")
        return [] if reason is None else [waiver(reason)]

    def test_the_readme_describes_it(self, request: pytest.FixtureRequest) -> None:
        """Its tables of keys, streams and capabilities are what the connector says of itself."""
        if self.readme is None:
            does_not_apply("no file `readme`")
        old = self.readme.read_text(encoding="utf-8")
        new = filled(old, markdown(describe(self.connector)))
        assert new is not None, f"{self.readme.name} has no place for it: {BEGIN} and {END}, a line each"
        if request.config.getoption("--wherry-update", default=False):
            self.readme.write_text(new, encoding="utf-8")
            old = new
        assert old == new, f"{self.readme.name} is not what the connector says: write it with  pytest --wherry-update"

    def promise(self, request: pytest.FixtureRequest, key: str, value: Any) -> None:
        """Compare `value` (JSON) with what stands under `key` in the file of promises."""
        if self.promises is None:
            does_not_apply("no file of promises: set `promises`")
        value = json.loads(json.dumps(value))
        known = json.loads(self.promises.read_text()) if self.promises.exists() else {}
        if request.config.getoption("--wherry-update", default=False):
            known[key] = value
            self.promises.write_text(json.dumps(known, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        assert key in known, f"{self.promises.name} promises no {key}: write it with  pytest --wherry-update"
        assert value == known[key], f"{key} is not what {self.promises.name} promises; meant? pytest --wherry-update"


def settings(config: type[ConnectorConfig]) -> Any:
    """Names, types and defaults of a configuration as JSON Schema, without words that may be improved any time."""

    def without_words(value: Any) -> Any:
        if isinstance(value, dict):
            words = ("description", "title")
            return {k: without_words(v) for k, v in value.items() if k not in words or isinstance(v, dict)}
        return [without_words(item) for item in value] if isinstance(value, list) else value

    return without_words(config.model_json_schema())


def cases(name: str, values: Any) -> pytest.MarkDecorator:
    """As `pytest.mark.parametrize(name, values)`, with waivers per case; values may be a function of the suite."""
    return pytest.mark.wherry_cases(name, values)


def waiver(reason: str) -> pytest.MarkDecorator:
    """An expected failure; passing is the failure then."""
    return pytest.mark.xfail(reason=WAIVER + reason, strict=True)


def _marked(test: Callable[..., Any], reason: str) -> Callable[..., Any]:
    """A copy, so that the suite's own function stays as it is for other connectors."""

    @functools.wraps(test)
    def waived(*args: Any, **kwargs: Any) -> Any:
        return test(*args, **kwargs)

    waived.pytestmark = [*getattr(test, "pytestmark", ()), waiver(reason).mark]  # type: ignore[attr-defined]
    return waived
