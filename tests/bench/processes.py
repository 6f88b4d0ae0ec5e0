"""The processes that are measured: started with the environment of a server, watched, and always ended."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
BYTES_PER_KIBIBYTE = 1024
BYTES_PER_MEBIBYTE = 2**20
# In /proc/PID/stat, counted behind the name in parentheses, which may hold anything.
USER_TIME, SYSTEM_TIME = 11, 12


@dataclass(frozen=True, slots=True)
class Server:
    """A process that answers HTTP."""

    url: str
    process_id: int


@contextmanager
def running(module: str, *arguments: str, environment: Mapping[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """A module of this repository as a process of its own, ended with the block."""
    with _running([sys.executable, "-m", module, *arguments], environment) as process:
        yield process


@contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def serving(module: str, *arguments: str, environment: Mapping[str, str]) -> Iterator[Server]:
    """A module that takes `--port` and answers `/readyz`, ready to answer."""
    with serving_command([sys.executable, "-m", module, *arguments], environment=environment) as server:
        yield server


@contextmanager
def serving_command(command: Sequence[str], *, environment: Mapping[str, str]) -> Iterator[Server]:
    """A command that takes `--port`, ready to answer."""
    port = free_port()
    with _running([*command, "--port", str(port)], environment) as process:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process)
        yield Server(url, process.pid)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ChildProcessError(f"{process.args!r} has ended instead of serving.")
        try:
            # One that does not know the path serves only when it is ready.
            if not httpx.get(f"{url}/readyz").is_server_error:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError(f"{process.args!r} was not ready after {READY_SECONDS:g} seconds.")


def cpu_seconds(process_id: int) -> float | None:
    """The processor time that a process has used so far; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[USER_TIME]) + int(fields[SYSTEM_TIME])) / os.sysconf("SC_CLK_TCK")


def peak_memory_mebibytes(process_id: int) -> float | None:
    """The most memory that a process has held so far; None where the system does not tell."""
    try:
        lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    except OSError:
        return None
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return round(peaks[0] * BYTES_PER_KIBIBYTE / BYTES_PER_MEBIBYTE, 1) if peaks else None


def children_cpu_seconds(process_id: int) -> dict[int, float]:
    """The processor time of each child of a process, such as the backends of PostgreSQL; empty where not told."""
    try:
        children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    except OSError:
        return {}
    used = {int(child): cpu_seconds(int(child)) for child in children}
    return {child: seconds for child, seconds in used.items() if seconds is not None}
