"""Drives wrk: bounded in time and in connections, on loopback only."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

CONNECTIONS = 8
# wrk ends by itself; this is for a wrk that does not.
GRACE_SECONDS = 30

_SCRIPT = """
local prepared, position = {}, 0

function init(arguments)
  local headers = {
    ["Content-Type"] = "application/json",
    ["Accept"] = "application/graphql-response+json, application/json",
  }
  local credentials = arguments[2] and io.lines(arguments[2])
  for body in io.lines(arguments[1]) do
    headers["Authorization"] = credentials and "Bearer " .. credentials() or nil
    prepared[#prepared + 1] = wrk.format("POST", nil, headers, body)
  end
end

function request()
  position = position % #prepared + 1
  return prepared[position]
end

function done(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "failed": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    failed.connect + failed.read + failed.write + failed.status + failed.timeout
  ))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw; latencies are in microseconds."""

    requests: int
    microseconds: int
    p50: int
    p99: int
    failed: int

    @property
    def requests_per_second(self) -> float:
        """The rate over the whole round."""
        return self.requests / self.microseconds * 1_000_000


def has_wrk() -> bool:
    """Whether the load generator is installed."""
    return shutil.which("wrk") is not None


def drive(
    url: str,
    bodies: Sequence[bytes],
    *,
    seconds: int,
    connections: int = CONNECTIONS,
    credentials: Sequence[str] = (),
) -> Load:
    """POST the bodies, one after another and from the first again, for so many seconds.

    Where there are credentials, each body goes with the one at its place.
    """
    with tempfile.TemporaryDirectory(prefix="trove-bench-") as directory:
        script, lines = Path(directory) / "load.lua", Path(directory) / "bodies"
        script.write_text(_SCRIPT)
        lines.write_bytes(b"\n".join(bodies) + b"\n")
        arguments = [str(lines)]
        if credentials:
            (bearers := Path(directory) / "credentials").write_text("\n".join(credentials) + "\n")
            arguments.append(str(bearers))
        command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
        result = subprocess.run(
            [*command, "--timeout", "10s", "--script", str(script), url, "--", *arguments],
            check=True,
            capture_output=True,
            timeout=seconds + GRACE_SECONDS,
        )
    return Load(**orjson.loads(result.stdout.splitlines()[-1]))
