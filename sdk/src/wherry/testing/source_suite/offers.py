"""What a source offers: configuration, streams, plans."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wherry.contracts.values import ReadPlan, Stream
from wherry.contracts.wire import from_json, to_json
from wherry.errors import WherryError
from wherry.testing.reading import select
from wherry.testing.source_suite.base import Make, SourceBase
from wherry.testing.suite import settings


class OfferTests(SourceBase):
    """check, discover, plan, identity."""

    def test_config_keeps_its_promise(self, request: pytest.FixtureRequest) -> None:
        """Names, types and defaults of the configuration are what users build on."""
        self.promise(request, "config", settings(self.connector.Config))

    def test_streams_keep_their_promise(self, request: pytest.FixtureRequest, make: Make) -> None:
        """Names, columns, keys and cursors too."""
        self.promise(request, "streams", {stream.path: _promised(stream) for stream in make().discover()})

    def test_every_setting_is_described(self) -> None:
        """For `wherry plugins info`."""
        for name, setting in self.connector.Config.model_fields.items():
            assert setting.description, name

    def test_check_passes(self, make: Make) -> None:
        """And passes again."""
        source = make()
        source.check()
        source.check()

    def test_check_explains_what_is_broken(self, broken: dict[str, Any]) -> None:
        """With an error that Wherry can show, and a next step."""
        source = self.connector(self.connector.Config.model_validate(broken))
        try:
            with pytest.raises(WherryError) as refused:
                source.check()
            assert refused.value.message
            assert "\n" not in refused.value.message
        finally:
            source.close()

    def test_identity_names_what_is_read(self, make: Make) -> None:
        """Two instances agree; no secret in it."""
        name, address = make().identity()
        assert (name, address) == make().identity()
        assert name
        config = make().config
        for field in type(config).model_fields:
            secret = getattr(getattr(config, field), "get_secret_value", str)()
            if secret and "://" not in secret:
                assert secret not in name + address, f"identity() shows {field}"

    def test_discovery_repeats_itself(self, make: Make) -> None:
        """On one instance and on another."""
        source = make()
        first = {stream.path: stream for stream in source.discover()}
        assert first, "nothing is offered"
        assert {stream.path: stream for stream in source.discover()} == first
        assert {stream.path: stream for stream in make().discover()} == first

    def test_streams_are_sound(self, make: Make) -> None:
        """Paths are unique; keys, cursors and parts are columns."""
        streams = list(make().discover())
        assert len({stream.path for stream in streams}) == len(streams)
        for stream in streams:
            named = [*stream.primary_key, *stream.cursors, *filter(None, [stream.cursor, stream.part])]
            if stream.schema.names:
                assert set(named) <= set(stream.schema.names), stream.path
            assert len(set(stream.schema.names)) == len(stream.schema.names), stream.path
            assert not [name for name in stream.schema.names if name.startswith("_wherry_") and name != stream.part]
            assert not stream.changes or stream.primary_key, f"{stream.path} has changes, but no key to apply them by"

    def test_discovery_of_some(self, make: Make) -> None:
        """A glob that names one stream offers at least that one, as it is."""
        for stream in make().discover():
            some = {found.path: found for found in make().discover([stream.path])}
            assert some[stream.path] == stream

    def test_plans_are_sound(self, make: Make) -> None:
        """Each stream has its splits; keys are unique; what is stored and sent is the same after a journey as JSON."""
        source = make()
        selections = select(source)
        plans = list(source.plan(selections, {}))
        assert len({plan.key for plan in plans}) == len(plans)
        planned = {s.stream.path for plan in plans for split in plan.splits for s in split.streams}
        assert planned == {selection.stream.path for selection in selections}
        for plan in plans:
            assert plan.key
            keys = [split.key for split in plan.splits]
            assert keys
            assert len(set(keys)) == len(keys)
            assert from_json(ReadPlan, json.loads(json.dumps(to_json(plan)))) == plan


def _promised(stream: Stream) -> dict[str, Any]:
    """What users see of a stream."""
    columns = {field.name: str(field.type) for field in stream.schema}
    fields = {"primary_key": list(stream.primary_key), "cursor": stream.cursor, "cursors": list(stream.cursors)}
    return {"columns": columns, **fields, "ordered": stream.ordered, "changes": stream.changes}
