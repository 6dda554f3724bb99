"""The end of a guest's console log, read on its host: one read, so the run is as short as the call."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import ConsoleText, HypervisorActivities, ReadConsole
    from infra.temporal.history import History
    from workflows import policies
    from workflows.execution import execute


class ConsoleParams(History):
    host: str
    read: ReadConsole


@workflow.defn(name="ReadConsole")
class ReadConsoleLog:
    @workflow.run
    async def run(self, params: ConsoleParams) -> ConsoleText:
        text: ConsoleText = await execute(
            HypervisorActivities.read_console, params.read, policies.HOST_READ, host=params.host
        )
        return text
