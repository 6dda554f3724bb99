"""Networks on a Linux host: netlink for devices and namespaces, dnsmasq for DHCP."""

from infra.network.linux.backend import LinuxNetworkBackend

__all__ = ["LinuxNetworkBackend"]
