"""The reference destination: the contract of `Destination`, `Session` and `Load` over a `Store`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, InstanceOf
from pydantic.json_schema import SkipJsonSchema

from wherry.contracts.config import ConnectorConfig
from wherry.contracts.destination import Destination, Session
from wherry.contracts.loading import Capabilities, Lease, RunRecord
from wherry.errors import LeaseError
from wherry.testing.faults import Faults
from wherry.testing.memory.session import MemorySession, newest_epoch
from wherry.testing.memory.store import Held, Hold, Store

if TYPE_CHECKING:
    import pyarrow as pa


EVERY_TYPE = (
    "bool int uint64 float decimal decimal256 text binary date time timestamp timestamptz timestamp_ns interval "
    "list struct map json uuid"
)


class MemoryConfig(ConnectorConfig):
    """Values, not settings."""

    reference: ClassVar[str | None] = "name"

    name: str = Field("memory", description="what the destination is called in messages")
    store: SkipJsonSchema[InstanceOf[Store]] = Field(default_factory=Store, description="where everything is kept")
    faults: SkipJsonSchema[InstanceOf[Faults]] = Field(default_factory=Faults, description="fault switches")
    lease: int = Field(60, description="seconds after which a silent run may be taken over")


class MemoryDestination(Destination):
    """Tables in a `Store`."""

    Config = MemoryConfig
    config: MemoryConfig
    capabilities = Capabilities(
        types=frozenset(EVERY_TYPE.split()),
        loads=8,
        case_sensitive=True,
        sql=False,
        handoffs=("arrow-ipc",),
    )

    @classmethod
    def of(cls, store: Store, **values: Any) -> MemoryDestination:
        """A destination over this store; `values` are other fields of its config."""
        return cls(cls.Config(store=store, **values))

    def check(self) -> None:
        self.config.faults.hit("check")

    def storage(self, field: pa.Field[Any]) -> tuple[pa.DataType, ...]:
        import pyarrow as pa

        kind, text = field.type, pa.string()
        if pa.types.is_null(kind):
            return (text,)
        if pa.types.is_nested(kind):
            return (kind,)
        if pa.types.is_integer(kind):
            wider = [pa.int64()] if not pa.types.is_uint64(kind) else []
            return tuple(dict.fromkeys([kind, *wider, pa.decimal128(38, 0), text]))
        return tuple(dict.fromkeys([kind, text]))

    def open(
        self, pipeline: str, *, schema: str, join: Lease | None = None, read_only: bool = False, wait: float = 0
    ) -> Session:
        self.config.faults.hit("open")
        if join is not None:
            self._still_held((schema, pipeline), join)
        if read_only or join:
            return MemorySession(self.config, (schema, pipeline), join, owner=False)
        deadline, told = time.monotonic() + wait, False
        while True:
            try:
                return MemorySession(self.config, (schema, pipeline), self._lease((schema, pipeline)), owner=True)
            except LeaseError as error:
                if time.monotonic() >= deadline:
                    raise
                if not told:
                    self.tell(f"waiting: {error.message}")
                told = True
                time.sleep(0.02)

    def pipelines(self) -> Sequence[tuple[str, str]]:
        return sorted({hold for hold, _ in self.config.store.now.runs})

    def _still_held(self, hold: Hold, lease: Lease) -> None:
        now = self.config.store.now
        held = now.runs.get((hold, lease.epoch))
        if held is None or held.record.finished is not None or newest_epoch(now, hold) != lease.epoch:
            raise LeaseError(f'run {lease.epoch} of pipeline "{hold[1]}" is over', next="start the run again")

    def _lease(self, hold: Hold) -> Lease:
        """The next epoch, unless the last run still lives. Taking it fences every older session of the pipeline."""
        with self.config.store.transaction() as draft:
            now, epoch = self.config.store.clock(), newest_epoch(draft, hold)
            last = draft.runs.get((hold, epoch))
            if last and last.record.finished is None and now < last.renewed + last.seconds * 1_000_000:
                raise LeaseError(
                    f'pipeline "{hold[1]}" is in the hands of {last.record.holder}, run {epoch}',
                    next="wait for it (--wait), or end it",
                )
            if last and last.record.finished is None:
                died = replace(last.record, finished=now, outcome="died")
                draft.runs[hold, epoch] = replace(last, record=died)
                self.tell(f"run {epoch} ({died.holder}) died: this run goes on from its bookmarks")
            holder = f"pid {os.getpid()} on {socket.gethostname()}"
            record = RunRecord(run=epoch + 1, pipeline=hold[1], holder=holder, started=now)
            draft.runs[hold, epoch + 1] = Held(record, now, self.config.lease)
            for key, row in draft.state.items():
                if key[0] == hold:
                    draft.state[key] = replace(row, epoch=epoch + 1)
        schema, pipeline = hold
        lease = self.config.lease
        return Lease(pipeline=pipeline, schema=schema, epoch=epoch + 1, holder=holder, since=now, seconds=lease)
