"""For tests: reference connectors with fault switches, comparison of tables, and the conformance kit.

Names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wherry.pipeline.select import Wish as Wish
    from wherry.sql.ddl import holds as holds
    from wherry.testing.compare import differences as differences
    from wherry.testing.compare import digest as digest
    from wherry.testing.compare import tables_equal as tables_equal
    from wherry.testing.destination_suite import DestinationSuite as DestinationSuite
    from wherry.testing.faults import Faults as Faults
    from wherry.testing.faults import hang as hang
    from wherry.testing.faults import slow as slow
    from wherry.testing.handoff import HandOffRun as HandOffRun
    from wherry.testing.handoff import handed_and_read as handed_and_read
    from wherry.testing.handoff import handoff_differences as handoff_differences
    from wherry.testing.harness import run_sync as run_sync
    from wherry.testing.memory import MemoryDestination as MemoryDestination
    from wherry.testing.memory import MemorySource as MemorySource
    from wherry.testing.memory import MemoryStream as MemoryStream
    from wherry.testing.memory import Store as Store
    from wherry.testing.reading import select as select
    from wherry.testing.source_suite import SourceSuite as SourceSuite

_HOME = {
    "wherry.pipeline.select": "Wish",
    "wherry.sql.ddl": "holds",
    "wherry.testing.compare": "differences digest tables_equal",
    "wherry.testing.destination_suite": "DestinationSuite",
    "wherry.testing.faults": "Faults hang slow",
    "wherry.testing.handoff": "HandOffRun handed_and_read handoff_differences",
    "wherry.testing.harness": "run_sync",
    "wherry.testing.memory": "MemoryDestination MemorySource MemoryStream Store",
    "wherry.testing.reading": "select",
    "wherry.testing.source_suite": "SourceSuite",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'wherry.testing' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value
