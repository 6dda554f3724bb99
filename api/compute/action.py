"""One action that is asked of a server."""

from dataclasses import dataclass
from typing import Any

from api.auth import Context
from api.deps import Services
from infra.domain.errors import BadRequest, Forbidden
from infra.domain.server import Server


@dataclass(frozen=True)
class Action:
    """Its argument is not looked at yet."""

    name: str
    argument: Any
    server: Server
    context: Context
    services: Services
    version: int

    def takes_no_argument(self) -> None:
        """Raises BadRequest if it has one."""
        if self.argument not in (None, {}, ""):
            raise BadRequest(f"Invalid input for field/attribute {self.name}: it takes no argument.")

    def requires_admin(self, policy: str) -> None:
        """Raises Forbidden for anybody but an administrator."""
        if not self.context.is_admin:
            raise Forbidden(f"Policy doesn't allow os_compute_api:{policy} to be performed.")
