"""The only reader of environment and configuration files.

Values come, in falling order of precedence, from the environment (``KILONOVA_<GROUP>__<NAME>``), from the
file named by ``KILONOVA_CONFIG`` (default ``<state_dir>/kilonova.toml``) and from the defaults below.
``KILONOVA_STATE_DIR`` names the folder that holds everything a developer stack writes.
"""

import os
import socket
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from infra.domain.pci import PciAlias, PciDeviceSpec, agreeing


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ApiSettings(_Group):
    """Where the REST services listen and how clients reach them."""

    host: str = "127.0.0.1"
    port: int = 8774
    public_url: str | None = None
    """Base URL in the catalog and in links, without a trailing slash; default ``http://<host>:<port>``."""
    region: str = "RegionOne"
    keep_alive_seconds: int = 75
    admissions_at_once: int = Field(default_factory=lambda: max(1, (os.cpu_count() or 2) // 2), ge=1)
    """Boot requests that one API process has admitted at a time; others wait their turn, fairly by project. By default
    one for two processors: what is admitted must be built by the others."""


class DatabaseSettings(_Group):
    url: SecretStr | None = None
    """SQLAlchemy URL; default is SQLite at ``<state_dir>/kilonova.db``. ``postgresql+psycopg://...`` for PostgreSQL."""
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    """Durability of a commit on SQLite: NORMAL survives kills, FULL power loss too."""
    pool_size: int = 10


class TemporalSettings(_Group):
    """Overrides of the SDK's standard client configuration (``TEMPORAL_*``, ``temporal.toml``)."""

    address: str | None = None
    namespace: str | None = None
    ui_url: str = "http://127.0.0.1:8233"


class KeycloakSettings(_Group):
    url: str = "http://127.0.0.1:8180"
    realm: str = "kilonova"
    client_id: str = "kilonova"
    client_secret: SecretStr = SecretStr("")
    """Secret of the API's confidential client (password grant, token exchange, introspection, realm administration)."""
    worker_client_id: str = "kilonova-worker"
    worker_client_secret: SecretStr = SecretStr("")
    """Secret of the workers' client (client credentials, role ``service``)."""
    introspection_seconds: float = 5.0
    """How long an introspection answer is believed: the delay until a revoked token or role stops working."""


class SealSettings(_Group):
    """Keys for the secrets that enter histories: ``{key id: base64 of 32 bytes}``; the first one seals."""

    keys: dict[str, SecretStr] = Field(default_factory=dict)


class HostSettings(_Group):
    """One compute host; read by its worker only."""

    name: str = Field(default_factory=socket.gethostname)
    libvirt_uri: str = "qemu:///system"
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    directory: Path | None = None
    """Instances, image cache and attempts of this host; default ``<state_dir>/hosts/<name>``."""
    volume_directory: Path | None = None
    """Where the volume service's files are mounted on this host; default the volume service's own folder."""
    tunnel_ip: str = "127.0.0.1"
    """Address of this host for VXLAN."""
    vxlan_port: int = 4789
    interface_prefix: str = "kn"
    """First letters (at most 3) of every bridge, tap, veth and namespace this host makes."""
    cpu_dedicated_set: str = ""
    """CPUs that servers with ``hw:cpu_policy=dedicated`` get to themselves: ``2-15,^8``. None: no such server fits."""
    cpu_shared_set: str = ""
    """CPUs for all others; default those that are not dedicated."""
    pci_device_spec: tuple[PciDeviceSpec, ...] = ()
    """PCI devices that servers may have to themselves: each names a vendor, a product, an address, or some of these."""
    cpu_allocation_ratio: float = 16.0
    ram_allocation_ratio: float = 1.0
    disk_allocation_ratio: float = 1.0
    reserved_memory_mb: int = 512
    report_seconds: float = 5.0
    work_slots: int = 10
    bulk_slots: int = 4
    urgent_slots: int = 10
    guest_nice: int = 10
    """CPU niceness of QEMU, so that booting guests do not starve the control plane."""


class ImageSettings(_Group):
    directory: Path | None = None
    max_bytes: int = 64 * 1024**3
    project_quota_bytes: int = 256 * 1024**3
    max_virtual_bytes: int = 2 * 1024**4
    """Largest disk that image data may describe."""
    format_match: bool = False
    """Refuse also binary data of no known format that is claimed to be of one, as Glance's
    ``require_image_format_match`` does. Without it such data is kept, but neither booted nor made a volume.
    Data of another format, and text, is always refused."""


class VolumeSettings(_Group):
    directory: Path | None = None
    project_quota_volumes: int = 100
    project_quota_gigabytes: int = 1000
    project_quota_snapshots: int = 100


class NetworkSettings(_Group):
    """Limits of a project in the Network Service; -1 is no limit."""

    mtu: int = 1450
    """Largest MTU of a network: the underlay's less 50 bytes of VXLAN."""
    quota_networks: int = 100
    quota_subnets: int = 100
    quota_ports: int = 500
    quota_security_groups: int = 100
    quota_security_group_rules: int = 1000
    quota_routers: int = 10
    quota_floating_ips: int = 50


class SchedulerSettings(_Group):
    max_attempts: int = 3
    host_down_seconds: float = 30.0
    """A host that has not reported for this long is down."""
    allow_resize_to_same_host: bool = True
    """Whether a resize may stay on its host, as in Nova, whose default is the other one."""
    host_subset_size: int = 1
    """Choose at random, seeded by the server's id, among this many of the best hosts."""
    boots_in_flight: int = 6
    """Servers being built at a time, or as many as there are hosts where that is more; others wait for their claim,
    fairly by project. One that has been built for longer than 3 s does not count: a slow host or a large image holds
    up nobody. The fewer, the sooner a project's boot is done that comes behind another's hundreds; more than keep
    all processors busy serve nobody."""
    enabled_filters: tuple[str, ...] = (
        "ComputeFilter",
        "ComputeCapabilitiesFilter",
        "ImagePropertiesFilter",
        "ServerGroupAntiAffinityFilter",
        "ServerGroupAffinityFilter",
    )
    """Names as in Nova's ``[filter_scheduler]``; their order is the scheduler's own."""
    max_instances_per_host: int = 50
    max_io_ops_per_host: int = 8
    isolated_images: frozenset[str] = frozenset()
    isolated_hosts: frozenset[str] = frozenset()
    restrict_isolated_hosts_to_isolated_images: bool = True
    aggregate_image_properties_isolation_namespace: str | None = None
    aggregate_image_properties_isolation_separator: str = "."
    enable_isolated_aggregate_filtering: bool = False
    """Aggregates with ``trait:<NAME>=required`` take only servers that require these traits."""
    limit_tenants_to_placement_aggregate: bool = False
    """Projects that aggregates list under ``filter_tenant_id*`` go to hosts of these aggregates only."""
    placement_aggregate_required_for_tenants: bool = False
    """With the option before: projects that no aggregate lists go nowhere."""
    ram_weight_multiplier: float = 1.0
    cpu_weight_multiplier: float = 1.0
    disk_weight_multiplier: float = 1.0
    hypervisor_version_weight_multiplier: float = 1.0
    io_ops_weight_multiplier: float = -1.0
    num_instances_weight_multiplier: float = 0.0
    image_props_weight_multiplier: float = 0.0
    image_props_weight_setting: dict[str, float] = Field(default_factory=dict)
    """Factor by image property; empty: every property counts 1."""
    pci_alias: Annotated[tuple[PciAlias, ...], AfterValidator(agreeing)] = ()
    """Names by which flavors ask for PCI devices; the same for the API and all control workers."""
    pci_weight_multiplier: float = Field(default=1.0, ge=0)
    soft_affinity_weight_multiplier: float = Field(default=1.0, ge=0)
    soft_anti_affinity_weight_multiplier: float = Field(default=1.0, ge=0)
    build_failure_weight_multiplier: float = 1000000.0
    metrics_weight_multiplier: float = 1.0
    metrics_weight_setting: dict[str, float] = Field(default_factory=dict)
    """Factor by metric; empty: no metric counts."""
    metrics_weight_of_unavailable: float = -10000.0
    """Weight of a host that lacks one of the metrics."""


class LimitSettings(_Group):
    boot_seconds: float = 600.0
    """A boot that is not ACTIVE after this long is undone."""
    move_seconds: float = 3600.0
    """A resize, migration, rebuild or evacuation that is not done after this long is undone."""
    building_per_project: int = 500
    """More servers of one project than this are not in BUILD at a time: POST answers 429."""
    building: int = 2000
    """The same of all projects together: POST answers 503. What waits longer than ``boot_seconds`` is undone, so it is
    of no use to let more wait than are built in that time."""
    retry_seconds: int = 10
    """What a request over these limits is told in Retry-After."""
    user_data_bytes: int = 65535


class DeploySettings(_Group):
    """The stack that ``make up`` runs on one machine; a real installation reads none of these."""

    temporal_port: int = 7233
    temporal_ui_port: int = 8233
    keycloak_port: int = 8180
    keycloak_admin_password: SecretStr = SecretStr("")
    """Password of Keycloak's own first administrator, ``kilonova-admin``."""
    public_cidr: str = "172.24.4.0/24"
    """Addresses of the external network; each stack on a machine needs others."""
    passwords: dict[str, SecretStr] = Field(default_factory=dict)
    """``{user name: password}`` of the users that the set-up creates."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="KILONOVA_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    config: Path | None = None
    state_dir: Path = Path(".kilonova")
    log_level: str = "INFO"
    api: ApiSettings = ApiSettings()
    database: DatabaseSettings = DatabaseSettings()
    temporal: TemporalSettings = TemporalSettings()
    keycloak: KeycloakSettings = KeycloakSettings()
    seal: SealSettings = SealSettings()
    host: HostSettings = Field(default_factory=HostSettings)
    image: ImageSettings = ImageSettings()
    volume: VolumeSettings = VolumeSettings()
    network: NetworkSettings = NetworkSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    limits: LimitSettings = LimitSettings()
    deploy: DeploySettings = DeploySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        state = os.environ.get("KILONOVA_STATE_DIR", ".kilonova")
        file = os.environ.get("KILONOVA_CONFIG") or os.path.join(state, "kilonova.toml")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    @property
    def state(self) -> Path:
        return self.state_dir.absolute()

    @property
    def api_url(self) -> str:
        return (self.api.public_url or f"http://{self.api.host}:{self.api.port}").rstrip("/")

    @property
    def database_url(self) -> str:
        if self.database.url is not None:
            return self.database.url.get_secret_value()
        return f"sqlite:///{self.state / 'kilonova.db'}"

    @property
    def host_directory(self) -> Path:
        return self.host.directory or self.state / "hosts" / self.host.name

    @property
    def image_directory(self) -> Path:
        return self.image.directory or self.state / "images"

    @property
    def volume_directory(self) -> Path:
        return self.volume.directory or self.state / "volumes"


@lru_cache(maxsize=1)
def load() -> Settings:
    """Read the settings once per process.

    Raises:
        pydantic.ValidationError: a value is missing, unknown or of the wrong form.
    """
    return Settings()
