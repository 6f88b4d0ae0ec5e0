"""`trove worker`: the process that runs jobs."""

import typer
from prometheus_client import start_http_server

from app.cli.database import require_current_database
from app.cli.loading import loaded
from app.core.settings import Settings, current_settings
from app.core.telemetry import configure_logging

commands = typer.Typer()


@commands.command("worker")
def worker() -> None:
    """Run the jobs: process ingest batches, make partitions, prune."""
    settings = current_settings()
    require_current_database(settings)
    serve_worker(settings)


def serve_worker(settings: Settings) -> None:
    """Run jobs until SIGINT or SIGTERM."""
    configure_logging(level=settings.log_level, readable=settings.is_development)
    if settings.worker_metrics_port is not None:
        start_http_server(settings.worker_metrics_port, addr=settings.host)
    # Only now: its jobs load all rooms.
    loaded("workers.settings:run_worker")(settings)
