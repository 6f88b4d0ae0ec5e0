"""The small process between Trove and its private servers: they live exactly as long as the process that started it.

Run as a script, `python guard.py '<orders as JSON>'`; answers with the pids of the servers as one line of JSON.

- SIGTERM, or the end of its parent by whatever signal: it stops the servers and goes. It looks at its parent four times
  a second; a death signal of the kernel's would follow the *thread* that started us, and threads end.
- Killed itself: the kernel stops the servers (Linux). The signal is asked for after the change of user, which would
  clear it; `preexec_fn` runs there, and is safe because this process has one thread.
- SIGUSR1: all servers are up. From then on one that ends is started again; before, its end is ours.

It keeps the lock of the directory open and hands it to the servers: the lock is free when the last of them has gone.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TypedDict

LOOK_AT_PARENT_SECONDS = 0.25
RESTART_SECONDS = 1.0
PATIENCE_SECONDS = 30.0
PR_SET_PDEATHSIG = 1


class Server(TypedDict):
    """One server: how to start it, as whom, and which signal makes it stop in good order."""

    name: str
    command: list[str]
    log: str
    stop_signal: int
    user: int | None
    group: int | None


class Orders(TypedDict):
    """What the guard is told: whose end to watch for, what to run, and what to remove afterwards."""

    parent: int
    lock: int
    servers: list[Server]
    remove: list[str]


class Guard:
    """Starts the servers, waits for a reason to stop, stops them."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.must_stop = False
        self.all_up = False
        self.wakeups, wake = os.pipe()
        os.set_blocking(self.wakeups, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGUSR1, self._on_all_up)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop)

    def run(self) -> int:
        """Do the whole job; the exit status is 1 when a server ended before all were up."""
        failed = False
        try:
            for server in self.orders["servers"]:
                self.running[server["name"]] = self._start(server)
            sys.stdout.write(json.dumps({name: process.pid for name, process in self.running.items()}) + "\n")
            sys.stdout.flush()
            while not (failed or self.must_stop or os.getppid() != self.orders["parent"]):
                self._sleep(LOOK_AT_PARENT_SECONDS)
                failed = not self._tend()
        finally:
            self._stop_all()
        return int(failed)

    def _on_stop(self, *_: object) -> None:
        self.must_stop = True

    def _on_all_up(self, *_: object) -> None:
        self.all_up = True

    def _sleep(self, seconds: float) -> None:
        if select.select([self.wakeups], [], [], seconds)[0]:
            os.read(self.wakeups, 512)

    def _tend(self) -> bool:
        ended = [server for server in self.orders["servers"] if self.running[server["name"]].poll() is not None]
        if ended and not self.all_up:
            return False
        if ended:
            self._sleep(RESTART_SECONDS)
        for server in ended:
            self.running[server["name"]] = self._start(server)
        return True

    def _start(self, server: Server) -> subprocess.Popen[bytes]:
        guard = os.getpid()
        system = ctypes.CDLL(None) if sys.platform == "linux" else None

        def die_with_guard() -> None:
            if system is not None:
                system.prctl(PR_SET_PDEATHSIG, server["stop_signal"], 0, 0, 0)
                if os.getppid() != guard:
                    os._exit(1)

        with Path(server["log"]).open("ab") as log:
            return subprocess.Popen(
                server["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                pass_fds=[self.orders["lock"]],
                user=server["user"],
                group=server["group"],
                extra_groups=None if server["user"] is None else [],
                preexec_fn=die_with_guard,
            )

    def _stop_all(self) -> None:
        signals = {server["name"]: server["stop_signal"] for server in self.orders["servers"]}
        for name, process in self.running.items():
            process.send_signal(signals[name])
        deadline = time.monotonic() + PATIENCE_SECONDS
        for process in self.running.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for path in map(Path, self.orders["remove"]):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(Guard(json.loads(sys.argv[1])).run())
