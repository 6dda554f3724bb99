"""libvirt's errors as the project's own. Codes: https://libvirt.org/html/libvirt-virterror.html."""

from collections.abc import Iterator
from contextlib import contextmanager

import libvirt

from infra.domain.errors import BuildAborted, HostRejected, KilonovaError, NotFound

_BUSY = {
    libvirt.VIR_ERR_NO_CONNECT,
    libvirt.VIR_ERR_INVALID_CONN,
    libvirt.VIR_ERR_RPC,
    libvirt.VIR_ERR_OPERATION_TIMEOUT,
    libvirt.VIR_ERR_OPERATION_ABORTED,
    libvirt.VIR_ERR_RESOURCE_BUSY,
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
}
# Errors of these parts of libvirt are about the way to the daemon, whatever their code.
_WAY = {libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE}
_WRONG = {
    libvirt.VIR_ERR_XML_ERROR,
    libvirt.VIR_ERR_XML_DETAIL,
    libvirt.VIR_ERR_XML_INVALID_SCHEMA,
    libvirt.VIR_ERR_INVALID_ARG,
}
_LONGEST = 300


def translate(error: libvirt.libvirtError, doing: str) -> KilonovaError:
    """What ``error`` means for the request, met while ``doing`` something (``start the server``)."""
    code = error.get_error_code()
    reason = " ".join((error.get_error_message() or str(error)).split())[:_LONGEST]
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return NotFound(f"The hypervisor could not {doing}: it has no such domain")
    if is_unreachable(error) or code in _BUSY:
        return HostRejected(f"The hypervisor could not {doing} now: {reason}", soft=True)
    if code in _WRONG:
        return BuildAborted(f"The hypervisor could not {doing}: {reason}")
    return HostRejected(f"The hypervisor could not {doing}: {reason}")


def is_unreachable(error: libvirt.libvirtError) -> bool:
    """True when the daemon did not answer, or went away while it was asked."""
    return error.get_error_domain() in _WAY or error.get_error_code() == libvirt.VIR_ERR_NO_CONNECT


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise libvirt's errors of the block as the project's."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise translate(error, doing) from error


def means(error: libvirt.libvirtError, *codes: int) -> bool:
    return error.get_error_code() in codes
