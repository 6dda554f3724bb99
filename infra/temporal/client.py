"""Connects to Temporal by the SDK's standard client configuration (``TEMPORAL_*`` variables and ``temporal.toml``,
with TLS and API keys: https://docs.temporal.io/develop/environment-configuration); the settings override the address
and namespace."""

from temporalio.client import Client
from temporalio.envconfig import ClientConfig

from infra.settings import TemporalSettings
from infra.temporal.converter import data_converter


async def connect(settings: TemporalSettings, *, lazy: bool = False) -> Client:
    """
    Raises:
        RuntimeError: the server does not answer (not with ``lazy``, which connects at the first call).
    """
    config = ClientConfig.load_client_connect_config()
    if settings.address is not None:
        config["target_host"] = settings.address
    if settings.namespace is not None:
        config["namespace"] = settings.namespace
    return await Client.connect(**config, data_converter=data_converter, lazy=lazy)
