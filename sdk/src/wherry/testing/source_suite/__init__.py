"""The conformance suite of sources: subclass `SourceSuite`, say how to make a config, run pytest."""

from wherry.testing.source_suite.base import SourceBase
from wherry.testing.source_suite.contents import ContentTests
from wherry.testing.source_suite.manners import MannerTests
from wherry.testing.source_suite.offers import OfferTests
from wherry.testing.source_suite.resume import ResumeTests

__all__ = ["SourceBase", "SourceSuite"]


class SourceSuite(OfferTests, ContentTests, ResumeTests, MannerTests):
    """Every promise of the contract, tested against a real source of a few hundred to a few thousand rows.

    Set `connector`, and override the fixture `config`: a JSON object that configures the connector for something to
    read that stays the same during a test. Override `expected`, `mutate` and `broken` where you can: what they bring
    to light is worth it. Gaps go into `waivers`, with a reason.
    """
