"""Processes of `trove` that are forks of one which has loaded the API and the worker: to load takes long.

What runs in one is what `python -m app.cli.main` runs. Tests of how a process begins start that instead.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.reduction import DupFd
from tempfile import TemporaryFile
from typing import IO, Any

from app.cli.main import main

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["app.cli.api", "app.cli.serving", "app.cli.worker", "workers.settings", "app.cli.keys", "app.cli.prices"]
)


class Fork:
    """A process of `trove`, with what tests use of `subprocess.Popen`.

    It writes into `outputs`, where this process writes by now, or where `communicate` reads it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        outputs: tuple[int, int] = (1, 2),
        is_heard: bool = False,
    ) -> None:
        self._arguments = arguments
        self._heard = [_kept_open(), _kept_open()] if is_heard else []
        handed_on = [_HandedOn(number) for number in ([file.fileno() for file in self._heard] or outputs)]
        self._process = _CONTEXT.Process(target=_run, args=(list(arguments), dict(environment), handed_on))
        self._process.start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The code it ended with, or the number of the signal that ended it below zero; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same, looked up."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raises TimeoutExpired when it takes longer."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(list(self._arguments), timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; what it said on standard output, and on standard error."""
        self.wait(timeout)
        output, errors = (_all_of(file) for file in self._heard)
        return output, errors

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _kept_open() -> IO[str]:
    return TemporaryFile("w+")  # until it is read


def _all_of(file: IO[str]) -> str:
    with file:
        file.seek(0)
        return file.read()


class _HandedOn:
    """A file of this process, by its number; in the fork the same file by another number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self.number),)


def _received(handed_on: Any) -> _HandedOn:
    return _HandedOn(handed_on.detach())


def _run(arguments: Sequence[str], environment: Mapping[str, str], outputs: Sequence[_HandedOn]) -> None:
    for number, output in zip((1, 2), outputs, strict=True):
        os.dup2(output.number, number)
        os.close(output.number)
    # What a shell runs in the background ignores SIGINT, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["trove", *arguments]
    main()
