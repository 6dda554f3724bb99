"""What every attempt at a server is made of on its host, whichever request makes it."""

from collections.abc import Collection
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.base import Failure
    from activities.images import FetchImage, ImageActivities
    from activities.models import Attempt, Requester
    from activities.networks import AllocatedPort, PlugActivities, PlugPort, PlugResult
    from workflows import policies
    from workflows.saga import Saga, side_by_side


class HostRefused(Exception):
    """This host can't have the server."""

    def __init__(self, cause: Failure) -> None:
        super().__init__(cause.message)
        self.cause = cause


class Building:
    """Base of the workflows that make an attempt; they set ``saga`` and ``requester``."""

    saga: Saga
    requester: Requester

    async def fetch_images(self, attempt: Attempt, images: Collection[str], shared: Collection[str] = ()) -> list[Any]:
        """Step 8. What is ``shared`` with an attempt that stays on this host is never released by this one."""
        return await side_by_side(
            *(
                self.saga.step(
                    ImageActivities.fetch,
                    FetchImage(attempt=attempt, image_id=image_id, shared=image_id in shared, **self.sealed_token()),
                    policies.HOST_COPY,
                    host=attempt.host,
                    undo=policies.HOST_UNDO,
                )
                for image_id in images
            )
        )

    async def plug_ports(self, attempt: Attempt, hostname: str, ports: Collection[AllocatedPort]) -> list[PlugResult]:
        """Step 9, on the host."""
        return await side_by_side(
            *(
                self.saga.step(
                    PlugActivities.plug,
                    PlugPort(attempt=attempt, hostname=hostname, port_id=port.port_id, nic=port.nic),
                    policies.HOST_CALL,
                    host=attempt.host,
                    undo=policies.HOST_UNDO,
                )
                for port in ports
            )
        )

    def sealed_token(self) -> dict[str, Any]:
        return {"token": self.requester.token, "token_server_id": self.requester.token_server_id}
