"""Every workflow and every activity there is: workers poll them, the proofs run over them."""

from activities.attachments import AttachmentActivities
from activities.conductor import ConductorActivities
from activities.disk_copies import DiskCopyActivities
from activities.drift import DriftActivities
from activities.hosts import HostActivities
from activities.hypervisor import HypervisorActivities
from activities.identity import IdentityActivities
from activities.image_records import ImageRecordActivities
from activities.images import ImageActivities
from activities.moves import MoveActivities
from activities.networks import PlugActivities, PortActivities
from activities.parking import ParkActivities
from activities.records import RecordsActivities
from activities.repairs import RepairActivities
from activities.scheduling import SchedulingActivities
from activities.upkeep import UpkeepActivities
from activities.volume_data import VolumeDataActivities
from activities.volumes import ConnectActivities, VolumeActivities
from workflows.attach_volume import AttachVolume
from workflows.boot_server import BootServer
from workflows.boot_servers import BootServers
from workflows.confirm_resize import ConfirmResize
from workflows.create_image import CreateImage
from workflows.delete_server import DeleteServer
from workflows.detach_volume import DetachVolume
from workflows.evacuate_server import EvacuateServer
from workflows.power_server import PowerServer
from workflows.read_console import ReadConsoleLog
from workflows.rebuild_server import RebuildServer
from workflows.reconcile_host import ReconcileHost
from workflows.repair_attachment import RepairAttachment
from workflows.repair_server import RepairServer
from workflows.resize_server import ResizeServer
from workflows.revert_resize import RevertResize
from workflows.sync_host_network import SyncHostNetwork
from workflows.volume_work import VolumeWork

WORKFLOWS: tuple[type, ...] = (
    BootServer,
    BootServers,
    DeleteServer,
    PowerServer,
    RebuildServer,
    ResizeServer,
    ConfirmResize,
    RevertResize,
    EvacuateServer,
    CreateImage,
    AttachVolume,
    DetachVolume,
    RepairServer,
    RepairAttachment,
    ReconcileHost,
    SyncHostNetwork,
    VolumeWork,
    ReadConsoleLog,
)

CONTROL_ACTIVITIES: tuple[type, ...] = (
    IdentityActivities,
    RecordsActivities,
    MoveActivities,
    ConductorActivities,
    AttachmentActivities,
    RepairActivities,
    DriftActivities,
    ImageRecordActivities,
    # Their undos run where no host is needed.
    PortActivities,
    VolumeActivities,
)
SCHEDULE_ACTIVITIES: tuple[type, ...] = (SchedulingActivities,)
DATA_ACTIVITIES: tuple[type, ...] = (VolumeDataActivities,)
HOST_ACTIVITIES: tuple[type, ...] = (
    HostActivities,
    ImageActivities,
    PortActivities,
    PlugActivities,
    VolumeActivities,
    ConnectActivities,
    HypervisorActivities,
    ParkActivities,
    DiskCopyActivities,
    UpkeepActivities,
)
