"""A small Linux guest, built from Debian packages: for demonstrations, tests and benchmarks.

``python -m infra.deploy.guest OUTDIR`` writes ``vmlinuz``, ``initrd.img`` and ``disk.qcow2``. Kernel and ramdisk
boot without any disk, or with a root disk (empty or filled, partitioned or not); the disk boots by itself.
"""

from infra.deploy.guest.build import BuildError, GuestFiles, build

__all__ = ["BuildError", "GuestFiles", "build"]
