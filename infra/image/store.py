"""The door to where image data is kept. Files stand behind it (``file_store.py``)."""

from collections.abc import AsyncIterator
from typing import Protocol

from pydantic import BaseModel, ConfigDict


class StoredData(BaseModel):
    """What was found out about image data while it was stored."""

    model_config = ConfigDict(frozen=True)

    size: int
    checksum: str
    """MD5 in hex (Glance's ``checksum``)."""
    sha512: str
    virtual_size: int | None
    """Bytes, as the format says; None where the format has none (aki, ari)."""


class ImageStore(Protocol):
    async def put(self, image_id: str, disk_format: str, chunks: AsyncIterator[bytes], max_bytes: int) -> StoredData:
        """Store the data whole or not at all: what an interrupted upload leaves is removed.

        Raises:
            TooLarge: more than ``max_bytes`` came.
            BadRequest: the data is not of ``disk_format``, or names a backing or data file.
        """
        ...

    def read(self, image_id: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The data in chunks.

        Raises:
            NotFound: there is none.
        """
        ...

    async def delete(self, image_id: str) -> None: ...

    async def path(self, image_id: str) -> str | None:
        """Local file name where the data is a file on this machine, for the volume service on the same machine."""
        ...

    async def uploading(self, image_id: str) -> bool:
        """True while an upload of this image's data goes on anywhere."""
        ...

    async def images(self) -> list[str]:
        """Ids of all images that have data here."""
        ...
