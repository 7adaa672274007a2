"""An API of pages of nested rows on 127.0.0.1, the same each time, rendered before anybody asks.

    python rest_pages.py PAGES ROWS

Prints its address. GET /items?page=N answers `{"data": [...], "next": address or null, "page": N}`. One thread, one
write a page: what is measured is who asks.
"""

from __future__ import annotations

import asyncio
import mmap
import random
import re
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import pairwise

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
PAGE = re.compile(rb"[?&]page=(\d+)")
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"


def row(number: int, chance: random.Random) -> str:
    """One record: 11 fields, an object within an object, a list, a null now and then."""
    one, two, three = chance.choices(WORDS, k=3)
    made, changed = (f"{BEGAN + timedelta(seconds=n * number):%Y-%m-%dT%H:%M:%SZ}" for n in (1, 2))
    tags = ",".join(f'"{word}"' for word in (one, three, two)[: number % 4])
    notes = f'"{two} {one} {three} {one}"' if number % 9 else "null"
    place = f'"geo":{{"lat":{chance.randrange(9_000_000) / 1e5},"lon":{chance.randrange(18_000_000) / 1e5}}}'
    return (
        f'{{"id":{number},"name":"{one} {two}","email":"user{number}@example.com",'
        f'"status":"{("new", "open", "closed")[number % 3]}","amount":{chance.randrange(100_000) / 100},'
        f'"active":{("false", "true")[number % 2]},"created_at":"{made}","updated_at":"{changed}",'
        f'"address":{{"street":"{number % 999} {three} st","city":"{one}","zip":"{number % 99_999:05}",{place}}},'
        f'"tags":[{tags}],"notes":{notes}}}'
    )


def render(page: int, pages: int, rows: int, chance: random.Random, address: str) -> bytes:
    """A whole answer."""
    data = ",".join(row((page - 1) * rows + n + 1, chance) for n in range(rows))
    after = f'"{address}?page={page + 1}"' if page < pages else "null"
    body = f'{{"data":[{data}],"next":{after},"page":{page}}}'
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


class Api(asyncio.Protocol):
    """Answers one request after the other."""

    answers: list[memoryview]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(1 << 24)
        self._transport = transport
        self._asked = b""

    def data_received(self, data: bytes) -> None:
        self._asked += data
        while (end := self._asked.find(b"\r\n\r\n")) >= 0:
            line, self._asked = self._asked[: self._asked.find(b"\r\n")], self._asked[end + 4 :]
            found = PAGE.search(line)
            page = int(found[1]) if found else 1
            self._transport.write(self.answers[page - 1] if 1 <= page <= len(self.answers) else MISSING)


async def main(pages: int, rows: int) -> None:
    server = await asyncio.get_running_loop().create_server(Api, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/items"
    chance = random.Random(7)
    with tempfile.TemporaryFile() as file:
        ends = [0]
        for page in range(1, pages + 1):
            file.write(render(page, pages, rows, chance, address))
            ends.append(file.tell())
        file.flush()
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        Api.answers = [whole[start:end] for start, end in pairwise(ends)]
        print(address, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
