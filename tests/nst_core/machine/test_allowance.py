"""The CPUs and memory that a process may use, as its affinity and the files of its control groups say."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from nst_core.machine.allowance import UNKNOWN_BYTES, free_bytes, usable_cpus

MB = 1 << 20

VERSION_2 = "29 22 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
CPU_1 = "33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
MEMORY_1 = "36 30 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"


@pytest.fixture(autouse=True)
def _sixteen_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(16)), raising=False)


def _machine(root: Path, files: Mapping[str, str], groups: str, mounts: str) -> Path:
    in_proc = {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, "proc/meminfo": "MemAvailable: 8192 kB\n"}
    for name, text in {**in_proc, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_version_2_group_limits_cpus_and_memory(tmp_path: Path) -> None:
    """CPUs are the quota in cpu.max, rounded down; memory is what memory.max leaves, with the page cache as free."""
    files = {"cpu.max": "250000 100000", "memory.max": f"{6 * MB}", "memory.current": f"{5 * MB}"}
    files["memory.stat"] = f"anon {2 * MB}\ninactive_file {3 * MB}\n"
    root = _machine(tmp_path, {f"sys/fs/cgroup/{name}": text for name, text in files.items()}, "0::/\n", VERSION_2)

    assert usable_cpus(root) == 2
    assert free_bytes(root) == 4 * MB


def test_a_version_1_group_is_found_inside_a_container(tmp_path: Path) -> None:
    """The files are found even if the group's path is the host's and the mount shows only the container's part."""
    inside = "/docker/4f2a"
    mounts = "\n".join((CPU_1.replace(" / ", f" {inside} "), MEMORY_1.replace(" / ", f" {inside} ")))
    files = {"cpu,cpuacct/cpu.cfs_quota_us": "300000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}
    files |= {"memory/memory.limit_in_bytes": f"{7 * MB}", "memory/memory.usage_in_bytes": f"{4 * MB}"}
    files["memory/memory.stat"] = f"inactive_file {MB // 2}\ntotal_inactive_file {MB}\n"
    root = _machine(
        tmp_path,
        {f"sys/fs/cgroup/{name}": text for name, text in files.items()},
        f"4:memory:{inside}\n3:cpuacct,cpu:{inside}\n",
        mounts,
    )

    assert usable_cpus(root) == 3
    assert free_bytes(root) == 4 * MB


def test_the_limits_of_parent_groups_apply(tmp_path: Path) -> None:
    """A service may not use more CPUs or memory than the slice it is in, whatever its own limits are."""
    files = {"job.slice/cpu.max": "400000 100000", "job.slice/nightly.service/cpu.max": "800000 100000"}
    files |= {"job.slice/memory.max": f"{2 * MB}", "job.slice/memory.current": f"{MB}"}
    files |= {"job.slice/nightly.service/memory.max": "max", "job.slice/nightly.service/memory.current": f"{MB}"}
    root = _machine(
        tmp_path,
        {f"sys/fs/cgroup/{name}": text for name, text in files.items()},
        "0::/job.slice/nightly.service\n",
        VERSION_2,
    )

    assert usable_cpus(root) == 4
    assert free_bytes(root) == MB


@pytest.mark.parametrize(
    ("groups", "mounts", "files"),
    [
        ("", "", {}),
        ("0::/\n", VERSION_2, {"cpu.max": "max 100000", "memory.max": "max", "memory.current": "5"}),
        ("0::/../elsewhere\n", VERSION_2, {}),
        ("3:cpu:/\n", CPU_1, {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"}),
    ],
    ids=["no groups", "version 2", "outside of the mount", "version 1"],
)
def test_without_limits_the_affinity_and_free_memory_count(
    tmp_path: Path, groups: str, mounts: str, files: dict[str, str]
) -> None:
    """A process without limits of a group may use the CPUs of its affinity and the free memory of the system."""
    root = _machine(tmp_path, {f"sys/fs/cgroup/{name}": text for name, text in files.items()}, groups, mounts)

    assert usable_cpus(root) == 16
    assert free_bytes(root) == 8 * MB


def test_a_group_above_its_limit_has_no_memory_left(tmp_path: Path) -> None:
    """If a group uses more than its limit, as it may for a moment, the free memory is 0, not negative."""
    files = {"sys/fs/cgroup/memory.max": f"{2 * MB}", "sys/fs/cgroup/memory.current": f"{3 * MB}"}

    assert free_bytes(_machine(tmp_path, files, "0::/\n", VERSION_2)) == 0


def test_limits_above_what_exists_do_not_add_anything(tmp_path: Path) -> None:
    """Limits of a group above the 16 CPUs and the free memory that exist do not raise either of them."""
    files = {"cpu.max": "6400000 100000", "memory.max": f"{90 * MB}", "memory.current": f"{MB}"}
    root = _machine(tmp_path, {f"sys/fs/cgroup/{name}": text for name, text in files.items()}, "0::/\n", VERSION_2)

    assert usable_cpus(root) == 16
    assert free_bytes(root) == 8 * MB


def test_a_group_outside_the_mount_means_the_mounts_top(tmp_path: Path) -> None:
    """For a path outside of the mount the group at the mount's top counts; mounts of other file systems are ignored."""
    mounts = f"22 1 0:21 / /proc rw - proc proc rw\n{VERSION_2}"
    root = _machine(tmp_path, {"sys/fs/cgroup/cpu.max": "300000 100000"}, "0::/../../other\n", mounts)

    assert usable_cpus(root) == 3


def test_half_a_cpu_counts_as_one(tmp_path: Path) -> None:
    """A quota of half a CPU is rounded up to one CPU."""
    root = _machine(tmp_path, {"sys/fs/cgroup/cpu.max": "50000 100000"}, "0::/\n", VERSION_2)

    assert usable_cpus(root) == 1


def test_other_mounts_may_have_any_name_or_none(tmp_path: Path) -> None:
    """Mounts whose folder has a name that is not UTF-8, or of nothing in particular, do not hide the groups."""
    files = {"sys/fs/cgroup/cpu.max": "250000 100000"}
    root = _machine(tmp_path, files, "0::/\n", "")
    mounts = (b"40 22 8:17 / /media/caf\xe9 rw - vfat /dev/sdb1 rw", b"41 22 0:40 / /mnt rw - tmpfs  rw")
    (root / "proc/self/mountinfo").write_bytes(b"\n".join((*mounts, VERSION_2.encode())))

    assert usable_cpus(root) == 2


def test_without_proc_only_the_affinity_counts(tmp_path: Path) -> None:
    """Without /proc, the free memory is unknown, and the CPUs are those of the affinity."""
    assert usable_cpus(tmp_path) == 16
    assert free_bytes(tmp_path) == UNKNOWN_BYTES > 1 << 50  # more memory than exists in one computer


def test_without_affinity_all_cpus_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CPU affinity, as on macOS and Windows, all CPUs count, or one if their number is unknown."""
    monkeypatch.delattr(os, "sched_getaffinity")
    for counted, usable in ((5, 5), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda counted=counted: counted)

        assert usable_cpus(tmp_path) == usable


@pytest.fixture
def half_a_cpu() -> Iterator[Path]:
    """A real control group with a quota of half a CPU."""
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    tops = [Path(words[4]) for words in mounts if "cgroup" in words or "cgroup2" in words]
    folder = next((top / f"quota-{uuid4().hex}" for top in tops if (top / "cpu.cfs_quota_us").exists()), None)
    if folder is None or not os.access(folder.parent, os.W_OK):
        pytest.skip("no control group of version 1 can be created here")
    folder.mkdir()
    try:
        (folder / "cpu.cfs_quota_us").write_text("50000")
        yield folder
    finally:
        folder.rmdir()


def test_a_real_quota_is_read(half_a_cpu: Path) -> None:
    """A process in a real control group with a quota of half a CPU may use one CPU."""
    code = (
        f"import os; open({str(half_a_cpu / 'tasks')!r}, 'w').write(str(os.getpid()))\n"
        "from nst_core.machine.allowance import usable_cpus; print(usable_cpus())"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
