"""What the databases need to know of the machine: which boot this is, and what a file system does.

LMDB is used without syncing, so its files are whole as long as the operating system runs: a process
may die at any moment, the kernel still has every page. After a reboot or a power failure pages may
be missing, and nothing in the files tells. The boot id tells.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ["boot_id", "free_bytes", "keeps_allocated_blocks"]

_LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MOUNTS = Path("/proc/self/mountinfo")
_SYSCTL = Path("/usr/sbin/sysctl")

_OVERWRITING = frozenset({"ext2", "ext3", "ext4", "tmpfs", "xfs"})
"""File systems on which a block that was allocated once can always be written again."""


def boot_id() -> str | None:
    """What identifies this boot of this host, or ``None`` where the system does not tell."""
    try:
        return _LINUX_BOOT_ID.read_text().strip() or None
    except OSError:
        pass
    if not _SYSCTL.exists():
        return None
    # macOS. Elsewhere the variable is unknown and nothing is printed.
    asked = subprocess.run(  # noqa: S603 - a fixed command
        [str(_SYSCTL), "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or None


def keeps_allocated_blocks(directory: Path) -> bool:
    """Whether a write to an allocated block of a file in ``directory`` can never fail for space.

    Writing to a memory map has no way to report a full disk but a signal that ends the process, so
    a writable map is used only where this is certain: on file systems that overwrite in place, not
    on those that copy on write (Btrfs, ZFS), over a network, or unknown.
    """
    if not hasattr(os, "posix_fallocate"):
        return False
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = _MOUNTS.read_text().splitlines()
    except OSError:
        return False
    # Fields: id, parent, major:minor, root, mount point, options, ... "-", type, source, ...
    types = {line.partition(" - ")[2].split()[0] for line in mounts if line.split()[2] == wanted}
    return bool(types) and types <= _OVERWRITING


def free_bytes(directory: Path) -> int:
    """What the disk of ``directory`` has room for, less a sixteenth that is left to others."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize // 16 * 15
