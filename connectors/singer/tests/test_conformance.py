"""The conformance suite that the plugin ships, with the promises of its tests."""

from pathlib import Path

from wherry_source_singer.suite import SingerSuite


class TestSinger(SingerSuite):
    promises = Path(__file__).with_name("promises.json")
