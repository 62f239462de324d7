"""The CPUs and memory that this process may use, limited by CPU affinity and by the quotas of its control groups.

`docker --cpus 1` and Kubernetes' limits leave all cores and memory of the machine visible, but not usable: threads
beyond the quota only wait for each other. Control groups of versions 1 and 2 are read, each with all its ancestors
(https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/); on a system without control groups only the
affinity counts.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
"""Root of the file system in which `proc` and the control groups are mounted."""

UNKNOWN_BYTES = 1 << 62
"""Stands for free memory that the system does not report: the fastest plan is then chosen, and running out of memory
raises an error that says so."""


def usable_cpus(root: Path = ROOT) -> int:
    """Return how many CPUs this process may keep busy at once, at least 1; a quota of 2.5 is rounded down to 2."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([float(affinity), *(quota for group in _groups(root) for quota in _cpu_quotas(group))])))


def free_bytes(root: Path = ROOT) -> int:
    """Return the bytes this process may still allocate: the machine's free memory or the rest of its container's."""
    return min([_free_of_machine(root), *(left for group in _groups(root) for left in _memory_left(group))])


@dataclass(frozen=True)
class _Group:
    """The folder of a control group, and the version of its files."""

    folder: Path
    version: int


def _groups(root: Path) -> Iterator[_Group]:
    """Yield the control groups of this process in every hierarchy, each followed by its ancestors."""
    paths = _paths(root)
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        inside, mounted_at = before.split()[3:5]
        kind, _, options = after.split(" ")[:3]  # the second, what is mounted, may be empty
        if kind == "cgroup2":
            yield from _upwards(root / mounted_at.lstrip("/"), inside, paths.get("", "/"), version=2)
        elif kind == "cgroup":
            controller = next((name for name in options.split(",") if name in ("cpu", "memory")), "none")
            yield from _upwards(root / mounted_at.lstrip("/"), inside, paths.get(controller, "/"), version=1)


def _paths(root: Path) -> dict[str, str]:
    """Return, by controller, the path of this process's group in its hierarchy; version 2 has the empty name."""
    entries = [line.split(":", 2) for line in _lines(root / "proc/self/cgroup")]
    return {name: path for _, controllers, path in entries for name in controllers.split(",")}


def _upwards(mount: Path, inside: str, path: str, version: int) -> Iterator[_Group]:
    """Yield the group and its ancestors up to the mount; a container may see its own group as the top."""
    below = path.removeprefix(inside.rstrip("/")).strip("/")
    folder = mount / below
    if ".." in folder.parts or not folder.is_dir():
        folder = mount
    yield _Group(folder, version)
    while folder != mount:
        folder = folder.parent
        yield _Group(folder, version)


def _cpu_quotas(group: _Group) -> Iterator[float]:
    """Yield the CPU quota of a group, in CPUs, if it has one."""
    if group.version == 2:
        fields = _text(group.folder / "cpu.max").split()
    else:
        fields = [_text(group.folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    if len(fields) == 2 and all(part.isdecimal() for part in fields) and int(fields[1]):  # "max" and -1 mean no quota
        yield int(fields[0]) / int(fields[1])


def _memory_left(group: _Group) -> Iterator[int]:
    """Yield the bytes left of a group's memory limit, if it has one."""
    limit_file, used_file, cache = (
        ("memory.max", "memory.current", "inactive_file")
        if group.version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    limit, used = _text(group.folder / limit_file), _text(group.folder / used_file)
    if not (limit.isdecimal() and used.isdecimal()):
        return
    # The page cache counts as used, but the kernel reclaims it when memory is requested.
    reclaimable = [line.split()[1] for line in _lines(group.folder / "memory.stat") if line.startswith(f"{cache} ")]
    yield max(0, int(limit) - int(used) + sum(map(int, reclaimable)))


def _free_of_machine(root: Path) -> int:
    free = [line.split()[1] for line in _lines(root / "proc/meminfo") if line.startswith("MemAvailable:")]
    return 1024 * int(free[0]) if free else UNKNOWN_BYTES


def _lines(path: Path) -> list[str]:
    return _text(path).splitlines()


def _text(path: Path) -> str:
    """Return the content of a system file, or an empty string if it does not exist or may not be read.

    Folders may have been mounted under names in any encoding; `fsdecode` keeps their bytes, as paths need them.
    """
    try:
        return os.fsdecode(path.read_bytes()).strip()
    except OSError:
        return ""
