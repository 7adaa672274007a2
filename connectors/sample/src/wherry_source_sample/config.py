"""What a user may choose about the shop."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from pydantic import Field
from wherry import ConnectorConfig


class SampleConfig(ConnectorConfig):
    """The shop is a pure function of these values."""

    reference: ClassVar[str | None] = "rows"

    rows: int = Field(
        1000, ge=1, le=10**9, description="how big: the number of orders that are placed in the shop's first 100 days"
    )
    until: date = Field(
        date(2024, 4, 9),
        ge=date(2024, 1, 1),
        le=date(2099, 12, 31),
        description="the shop as it is at the end of this day (UTC); it opens on 2024-01-01. A later day brings new "
        "rows, changed rows and deleted rows",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="another number is another shop")
    changes: bool = Field(
        False,
        description="read the shop's change log, deletes and partial updates included, instead of its tables",
    )
