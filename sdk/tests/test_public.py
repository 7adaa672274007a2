"""The public wall: what plugins may import, and the shapes they rely on. A change here is a change of the contract.

Additive changes (a field or method with a default, a name) are made here too, on purpose; anything else needs a new
entry-point group.
"""

import dataclasses
import inspect

import pytest
import wherry
import wherry.testing
from wherry import hookspecs

NAMES = """
Applied AuthError Batch Bookmark Capabilities Connection ConnectorConfig Counts DataError Destination DestinationError
Dialect Entry HandOffRefused Identifier JsonValue KIND Lease LeaseError Literal Load Mark Part Piece PolicyError
Progress Quoting ReadPlan Receipt ResourceError Run RunRecord SQL SchemaError Secret Selection Session Source
SourceError Split SqlDestination
StateError Stream StreamError Taker Target TransientError UsageError WherryError Writer exhausted failpoint from_json
hookimpl public to_json Shared
ApiKey Basic Bearer Cursor LinkHeader Login NextUrl NoAuth NoPaging OAuth2 Offset OnResponse Page RateLimit Retry Send
ConfigField Deleted Incremental Manifest RestSource RestStream PageOfRows pages
source_from stream
JsonBlock JsonShape LineTemplate NumberFacts Parsed Records json_elements json_lines
"""
TESTING = """
DestinationSuite Faults HandOffRun MemoryDestination MemorySource MemoryStream SourceSuite Store Wish differences digest
handed_and_read handoff_differences hang holds run_sync select slow tables_equal
"""
FIELDS = {  # "?": has a default
    "Stream": "name schema primary_key? cursor? namespace? ordered? resumes? changes? part? description? row_estimate? "
    "cursors? incarnation? lookback? notes?",
    "Selection": "stream mode? key? cursor? columns? where? start? end? lookback? nulls? table? types? limit?",
    "Split": "key streams bookmark? detail?",
    "ReadPlan": "key splits after? together? ordered? again? id?",
    "Progress": "bookmark? open? done? covers? missing? generation? damaged? anew?",
    "Batch": "stream data bookmark? rejected? present?",
    "Mark": "bookmark? complete? truncate? stream? parts? unchanged?",
    "Piece": "stream data rows? size? unchanged?",
    "Run": "log? stop? bytes? memory? shared? folder? conceal? resting? handoffs? least_handoff?",
    "Target": "stream table schema namespace? mode? key? cursor? part? generation? exclusive? changes? load_id?",
    "Entry": "bookmark? done? counts? complete? parts? started?",
    "Counts": "read? boundary? mapped? rejected? bytes?",
    "Applied": "staged? inserted? updated? deleted?",
    "Receipt": "load_id seq committed_at applied? notes?",
    "Lease": "pipeline schema epoch holder since seconds?",
    "RunRecord": "run pipeline holder started finished? outcome? read? inserted? updated? deleted? rejected?",
    "Capabilities": "modes? schema_changes? types? columns? atomic? loads? identifier_limit? case_sensitive? reserved? "
    "sql? handoffs?",
}
METHODS = {  # "*": abstract
    "Source.__init__": "(self, config)",
    "Source.identity": "(self)",
    "Source.check": "(self)",
    "*Source.discover": "(self, only=('*',))",
    "Source.plan": "(self, selected, progress)",
    "*Source.read": "(self, split)",
    "Source.handoff": "(self, split)",
    "Source.hand_over": "(self, split, form)",
    "Source.acknowledge": "(self, split, bookmark)",
    "Source.close": "(self)",
    "Destination.__init__": "(self, config)",
    "Destination.check": "(self)",
    "Destination.label": "(self)",
    "Destination.schema_for": "(self, proposed)",
    "*Destination.storage": "(self, field)",
    "Destination.refuses": "(self, field, column)",
    "*Destination.open": "(self, pipeline, *, schema, join=None, read_only=False, wait=0)",
    "Destination.pipelines": "(self)",
    "*Session.start": "(self, plan)",
    "Session.resume": "(self, plan)",
    "*Session.begin": "(self, plan, split)",
    "*Session.publish": "(self, plan, targets, generation, entry)",
    "*Session.schema": "(self, target)",
    "*Session.read": "(self, target)",
    "Session.execute": "(self, sql)",
    "*Session.set": "(self, key, bookmark)",
    "Session.adopt": "(self, table, namespace=None)",
    "Session.applied": "(self, load_id)",
    "Session.blocked": "(self)",
    "Session.gather": "(self, most)",
    "Session.runs": "(self)",
    "*Session.close": "(self, outcome='ok')",
    "*Load.prepare": "(self, target)",
    "*Load.write": "(self, stream, rows)",
    "Load.take": "(self, stream, form, piece)",
    "Load.interrupt": "(self)",
    "Load.idle": "(self)",
    "*Load.truncate": "(self, stream)",
    "*Load.commit": "(self, entry)",
    "*Load.abort": "(self)",
    "Load.present": "(self, stream, keys, splits)",
}
HOOKS = {
    "run_started": "destination pipeline run schema source streams",
    "batch_loaded": "bytes rows stream",
    "load_aborted": "rows stream",
    "load_committed": "bookmark counts load_id stream",
    "schema_changed": "added stream table widened",
    "rows_rejected": "column reason rows stream",
    "stream_finished": "counts error outcome seconds stream table",
    "message": "level text",
    "stalled": "seconds side stacks what",
    "waiting": "seconds side what",
    "run_finished": "exit_code outcome run seconds totals",
}
EXITS = {
    "WherryError": 1, "UsageError": 2, "AuthError": 2, "SourceError": 3, "TransientError": 3, "StreamError": 3,
    "DestinationError": 4, "DataError": 6, "SchemaError": 6, "LeaseError": 7, "StateError": 8, "ResourceError": 9,
    "PolicyError": 11,
}  # fmt: skip


@pytest.mark.parametrize(("module", "names"), [(wherry, NAMES), (wherry.testing, TESTING)], ids=["wherry", "testing"])
def test_names_that_plugins_may_import(module, names):
    assert sorted(module.__all__) == sorted(names.split())
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = module.nonsense


@pytest.mark.parametrize("name", FIELDS)
def test_fields_of_the_contracts_values(name):
    kind = getattr(wherry, name)
    missing = dataclasses.MISSING
    optional = {f.name: f.default is not missing or f.default_factory is not missing for f in dataclasses.fields(kind)}
    assert " ".join(field + "?" * has for field, has in optional.items()) == FIELDS[name]
    assert kind.__dataclass_params__.frozen
    assert kind.__slots__ == tuple(optional)
    assert all(f.kw_only for f in dataclasses.fields(kind))


def test_signatures_of_the_contracts_methods():
    found = {}
    for kind in (wherry.Source, wherry.Destination, wherry.Session, wherry.Load):
        for name, function in vars(kind).items():
            if inspect.isfunction(function) and (not name.startswith("_") or name == "__init__"):
                signature = inspect.signature(function)
                bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
                mark = "*" if name in kind.__abstractmethods__ else ""
                found[f"{mark}{kind.__name__}.{name}"] = str(inspect.Signature(bare))
    assert found == METHODS


def test_arguments_of_the_hooks():
    specs = {n: f for n, f in vars(hookspecs).items() if hasattr(f, "wherry_spec")}
    assert {n: " ".join(sorted(set(f.__annotations__) - {"return"})) for n, f in specs.items()} == HOOKS


def test_exit_codes_of_the_errors():
    errors = {n: getattr(wherry, n) for n in wherry.__all__ if n.endswith("Error")}
    assert {name: kind.exit_code for name, kind in errors.items()} == EXITS


def test_entry_point_groups():
    """A contract change that is not additive gets a new group, so that a mismatch is known without an import."""
    from wherry.host import metadata
    from wherry.testing import runner

    groups = ("wherry.sources", "wherry.destinations", "wherry.hooks", "wherry.sources.v2", "wherry.streams")
    found = [match and match.groups() for match in map(metadata._GROUP.fullmatch, groups)]
    assert found == [("source", None), ("destination", None), ("hook", None), ("source", "2"), None]
    assert (metadata.CONTRACT, runner.GROUP) == (1, "wherry.suites")
