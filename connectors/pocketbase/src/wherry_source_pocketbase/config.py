"""What a user may choose."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from wherry import ConnectorConfig, Secret


class PocketBaseConfig(ConnectorConfig):
    """Where the server is, and who reads it."""

    reference: ClassVar[str | None] = "url"

    url: str = Field(description="the server's address, such as https://pocketbase.example.com")
    identity: str = Field(description="the e-mail address of a superuser: only those may list collections")
    password: Secret = Field(description="the superuser's password")
    deleted: str | None = Field(
        None,
        description="a field of type bool that your application sets where others delete; such rows leave the table",
    )
