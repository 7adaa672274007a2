"""The source `ledger`: shows what a ledger file says that happened, as a table that changes or as a log that grows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import wherry


class LedgerSource(wherry.Source):
    """Reads `<folder>/<stream>.arrow`: rows id, version, seq, changed, payload, hash, in the order of seq.

    A stream `log…` offers every version, without a key; any other the last version of each id. With `gone` a table is a
    log of changes, at whose very end the first thousand ids that `gone` divides are deleted.
    """

    class Config(wherry.ConnectorConfig):
        """folder: of the ledger. until: the last seq that has happened yet. rows: of a batch. pause: seconds before
        each batch. stall: a stream that never yields its second batch; hang: nor hears that it is to stop. fail: seq
        before which the read fails. gone: see the source."""

        reference = "folder"
        folder: str
        until: int = 2**62
        rows: int = 1000
        pause: float = 0
        stall: str = ""
        hang: str = ""
        fail: int = 0
        gone: int = 0

    config: Config

    def identity(self) -> tuple[str, str]:
        return "ledger", f"ledger {self.config.folder}"

    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[wherry.Stream]:
        if self.config.hang == "discover":
            time.sleep(3600)
        for file in sorted(Path(self.config.folder).glob("*.arrow")):
            with pa.ipc.open_file(file) as reader:
                schema = reader.schema
            log = file.stem.startswith("log")
            changes = self.config.gone > 0 and not log
            yield wherry.Stream(
                name=file.stem, schema=schema, primary_key=() if log else ("id",), cursor=None if changes else "seq",
                cursors=("seq",), ordered=True, changes=changes,
            )  # fmt: skip

    def _rows(self, name: str) -> pa.Table:
        with pa.memory_map(f"{self.config.folder}/{name}.arrow") as file:
            table = pa.ipc.open_file(file).read_all()
        table = table.filter(pc.less_equal(table["seq"], self.config.until))
        if name.startswith("log"):
            return table
        last = table.group_by("id").aggregate([("seq", "max")])["seq_max"]
        return table.filter(pc.is_in(table["seq"], last)).sort_by("seq")

    def read(self, split: wherry.Split) -> Iterator[wherry.Batch | wherry.Mark]:
        selection = split.streams[0]
        name = selection.stream.name
        table = self._rows(name)
        if split.bookmark is not None:
            table = table.filter(pc.greater_equal(table["seq"], split.bookmark["seq"]))
        bookmark = split.bookmark
        for start in range(0, table.num_rows, self.config.rows):
            rows = table.slice(start, self.config.rows)
            if self.config.pause:
                time.sleep(self.config.pause)
            if self.config.stall == name and start:
                self.run.stop.wait()
            if self.config.hang == name and start:
                time.sleep(3600)
            if self.run.stop.is_set():
                return
            bookmark = {"seq": rows["seq"][-1].as_py()}
            if 0 < self.config.fail <= bookmark["seq"]:
                raise wherry.SourceError("the ledger ends here, as it was told to")
            yield wherry.Batch(stream=name, data=rows, bookmark=bookmark if selection.cursor else None)
        if selection.stream.changes and self.config.until >= 2**62:
            ids = pa.array(range(0, self.config.gone * 1000, self.config.gone), pa.int64())
            deletes = pa.table({"id": ids, "_wherry_op": pa.array([1] * len(ids), pa.int8())})
            yield wherry.Batch(stream=name, data=deletes)
        yield wherry.Mark(bookmark=bookmark if selection.cursor or selection.stream.changes else None)
