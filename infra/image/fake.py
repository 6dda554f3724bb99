"""An ``ImageStore`` in memory, for tests of what stands in front of it. It inspects nothing."""

import hashlib
from collections.abc import AsyncIterator

from infra.domain.errors import BadRequest, NotFound, TooLarge
from infra.image.store import StoredData


class FakeStore:
    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.refuse: BadRequest | None = None
        """Raised instead of storing what comes next."""

    async def put(self, image_id: str, disk_format: str, chunks: AsyncIterator[bytes], max_bytes: int) -> StoredData:
        received = bytearray()
        async for chunk in chunks:
            received += chunk
            if len(received) > max_bytes:
                raise TooLarge(f"The image is larger than the {max_bytes} bytes that are left for it.")
        if self.refuse is not None:
            refusal, self.refuse = self.refuse, None
            raise refusal
        if not received:
            raise BadRequest("The image has no data.")
        data = self.data[image_id] = bytes(received)
        return StoredData(
            size=len(data),
            checksum=hashlib.md5(data, usedforsecurity=False).hexdigest(),
            sha512=hashlib.sha512(data).hexdigest(),
            virtual_size=None if disk_format in ("aki", "ari") else len(data),
        )

    def read(self, image_id: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        if image_id not in self.data:
            raise NotFound(f"There is no data of image {image_id}.")
        end = None if length is None else offset + length
        return _once(self.data[image_id][offset:end])

    async def delete(self, image_id: str) -> None:
        self.data.pop(image_id, None)

    async def path(self, image_id: str) -> str | None:
        return None

    async def uploading(self, image_id: str) -> bool:
        return False

    async def images(self) -> list[str]:
        return sorted(self.data)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
