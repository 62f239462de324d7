"""What this process may use of its machine: CPUs and memory, by affinity and by the quotas of its control groups.

`docker --cpus 1` and Kubernetes' limits leave the machine's cores and memory in sight, but not to be had: threads
beyond the quota only wait for each other. Control groups of both versions are read, each with all that it lies in
(https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/); a system without them has its affinity alone.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
"""Of the file system that `proc` and the control groups are mounted in."""

UNKNOWN_BYTES = 1 << 62
"""Where the system does not say: the fastest plan is then taken, and running out of memory is an error that says so."""


def usable_cpus(root: Path = ROOT) -> int:
    """How many CPUs this process may keep busy at once, at least 1; of a quota of 2.5 it is 2."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([float(allowed), *(quota for group in _groups(root) for quota in _cpu_quotas(group))])))


def free_bytes(root: Path = ROOT) -> int:
    """Memory that this process may still have: what the machine has free, or what is left of a container's limit."""
    return min([_free_of_machine(root), *(left for group in _groups(root) for left in _memory_left(group))])


@dataclass(frozen=True)
class _Group:
    """A control group's folder, and the version of its files."""

    folder: Path
    version: int


def _groups(root: Path) -> Iterator[_Group]:
    """The groups of this process, in every hierarchy, and those that they lie in."""
    paths = _paths(root)
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        inside, mounted_at = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind == "cgroup2":
            yield from _upwards(root / mounted_at.lstrip("/"), inside, paths.get("", "/"), version=2)
        elif kind == "cgroup":
            controller = next((name for name in options.split(",") if name in ("cpu", "memory")), "none")
            yield from _upwards(root / mounted_at.lstrip("/"), inside, paths.get(controller, "/"), version=1)


def _paths(root: Path) -> dict[str, str]:
    """By controller, the path of this process's group in its hierarchy; that of version 2 has no controller."""
    parts = [line.split(":", 2) for line in _lines(root / "proc/self/cgroup")]
    return {name: path for _, controllers, path in parts for name in controllers.split(",")}


def _upwards(mount: Path, inside: str, path: str, version: int) -> Iterator[_Group]:
    """The group's folder and those above; a container may see a part of the hierarchy, its own group as the top."""
    below = path.removeprefix(inside.rstrip("/")).strip("/")
    folder = mount / below
    if ".." in folder.parts or not folder.is_dir():
        folder = mount
    yield _Group(folder, version)
    while folder != mount:
        folder = folder.parent
        yield _Group(folder, version)


def _cpu_quotas(group: _Group) -> Iterator[float]:
    if group.version == 2:
        given = _text(group.folder / "cpu.max").split()
    else:
        given = [_text(group.folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    if len(given) == 2 and all(part.isdecimal() for part in given) and int(given[1]):  # not `max`, nor -1
        yield int(given[0]) / int(given[1])


def _memory_left(group: _Group) -> Iterator[int]:
    limit_file, used_file, cache = (
        ("memory.max", "memory.current", "inactive_file")
        if group.version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    limit, used = _text(group.folder / limit_file), _text(group.folder / used_file)
    if not (limit.isdecimal() and used.isdecimal()):
        return
    # Files that were read count as used, and are let go of when memory is wanted.
    let_go = [line.split()[1] for line in _lines(group.folder / "memory.stat") if line.startswith(f"{cache} ")]
    yield max(0, int(limit) - int(used) + sum(map(int, let_go)))


def _free_of_machine(root: Path) -> int:
    free = [line.split()[1] for line in _lines(root / "proc/meminfo") if line.startswith("MemAvailable:")]
    return 1024 * int(free[0]) if free else UNKNOWN_BYTES


def _lines(path: Path) -> list[str]:
    return _text(path).splitlines()


def _text(path: Path) -> str:
    """What a file of the system says; nothing, where there is none or it may not be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
