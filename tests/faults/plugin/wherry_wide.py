"""The source `wide`: streams of rows that weigh much, one of which may stand still."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import wherry

SCHEMA = pa.schema([("id", pa.int64()), ("payload", pa.utf8())])


def payload(stream: str, id: int, width: int) -> str:
    """A value that no other row has, in ASCII: a byte a character."""
    word = f"{stream}/{id} "
    return (word * (width // len(word) + 1))[:width]


class WideSource(wherry.Source):
    """Streams of wide rows. stall: one that waits after its first batch until the file `go` is there."""

    class Config(wherry.ConnectorConfig):
        """go: the file that is waited for. rows: of each stream. width: characters. batch: rows."""

        reference = "go"
        go: str
        streams: int = 8
        rows: int = 40
        width: int = 2_000_000
        batch: int = 4
        stall: str = ""

    config: Config

    def identity(self) -> tuple[str, str]:
        return "wide", "wide"

    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[wherry.Stream]:
        for n in range(1, self.config.streams + 1):
            yield wherry.Stream(name=f"wide_{n}", schema=SCHEMA)

    def read(self, split: wherry.Split) -> Iterator[wherry.Batch | wherry.Mark]:
        config, name = self.config, split.streams[0].stream.name
        for number, start in enumerate(range(0, config.rows, config.batch)):
            while name == config.stall and number == 1 and not os.path.exists(config.go) and not self.run.stop.is_set():
                time.sleep(0.05)
                yield wherry.Mark()
            ids = range(start, min(start + config.batch, config.rows))
            rows = {"id": list(ids), "payload": [payload(name, id, config.width) for id in ids]}
            yield wherry.Batch(stream=name, data=pa.RecordBatch.from_pydict(rows, schema=SCHEMA))
