"""The reference connectors: tables in memory, read and written exactly as the contracts say, slow and short.

Read them to learn what a source and a destination must do; use them as partners in tests.
"""

from wherry.testing.memory.destination import MemoryConfig, MemoryDestination
from wherry.testing.memory.source import MemorySource, MemorySourceConfig, MemoryStream
from wherry.testing.memory.store import Store

__all__ = ["MemoryConfig", "MemoryDestination", "MemorySource", "MemorySourceConfig", "MemoryStream", "Store"]
