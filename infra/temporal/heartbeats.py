"""Heartbeats for every activity that has a heartbeat time-out, so that cancels arrive and a frozen worker shows.

Beats come from the worker's loop, not from the activity's thread: they say that the process lives. A call that
hangs inside a living process is the start-to-close time-out's business.
"""

import asyncio
import inspect
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor


class Heartbeats(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Beating(next)


class _Beating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        limit = activity.info().heartbeat_timeout
        if limit is None:
            return await self.next.execute_activity(input)
        in_thread = not inspect.iscoroutinefunction(input.fn)
        beats = asyncio.create_task(_beat(limit.total_seconds() / 3, in_thread))
        try:
            return await self.next.execute_activity(input)
        finally:
            beats.cancel()


async def _beat(seconds: float, in_thread: bool) -> None:
    while True:
        # Most steps end before their first beat: each would be a write on the server.
        await asyncio.sleep(seconds)
        if in_thread:
            # Of an activity in a thread the SDK expects its beats from a thread, and waits there for the loop.
            await asyncio.to_thread(activity.heartbeat)
        else:
            activity.heartbeat()
