"""The conformance suite of destinations: subclass `DestinationSuite`, say how to make a config, run pytest."""

from wherry.testing.destination_suite.base import DestinationBase
from wherry.testing.destination_suite.crashes import CrashTests
from wherry.testing.destination_suite.fences import FenceTests
from wherry.testing.destination_suite.generations import GenerationTests
from wherry.testing.destination_suite.modes import ModeTests
from wherry.testing.destination_suite.names import NameTests
from wherry.testing.destination_suite.schemas import SchemaTests
from wherry.testing.destination_suite.state import StateTests
from wherry.testing.destination_suite.values import ValueTests

__all__ = ["DestinationBase", "DestinationSuite"]


class DestinationSuite(
    ValueTests, NameTests, SchemaTests, ModeTests, GenerationTests, StateTests, FenceTests, CrashTests
):
    """Every promise of the contract, tested against a real destination by reading back and comparing.

    Set `connector`, and override the fixture `config`: a JSON object that configures the connector for an empty place
    of this test's own. Gaps go into `waivers`, with a reason.
    """
