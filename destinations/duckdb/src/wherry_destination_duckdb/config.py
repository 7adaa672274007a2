"""Configuration of the DuckDB destination."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from wherry import ConnectorConfig


class DuckDBConfig(ConnectorConfig):
    """A DuckDB database file."""

    reference: ClassVar[str | None] = "path"

    path: str = Field(description="Database file; created when it does not exist. `~` is your home directory.")
    memory_limit: str | None = Field(
        default=None,
        description="What DuckDB may hold in memory, like `1GB`; more goes to disk beside the file. "
        "Default: half of `--memory`, at least 48MiB.",
    )
    threads: int | None = Field(default=None, ge=1, description="Threads that DuckDB may use; default: one a core.")

    @property
    def file(self) -> Path:
        """The file with `~` replaced, absolute."""
        return Path(self.path).expanduser().absolute()
