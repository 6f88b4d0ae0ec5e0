"""What operators see: JSON logs with a request id, and Prometheus metrics. Nothing private goes in here."""

import logging
import sys

import structlog
from prometheus_client import Counter, Gauge, Histogram

OPERATIONS = Counter(
    "trove_graphql_operations_total", "GraphQL operations by name, type and outcome.", ["operation", "type", "outcome"]
)
OPERATION_SECONDS = Histogram(
    "trove_graphql_operation_seconds",
    "Time from a parsed request to its result, or until it was cancelled, in seconds.",
    ["type"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
OPERATION_STATEMENTS = Histogram(
    "trove_graphql_operation_statements",
    "SQL statements sent by one operation.",
    ["type"],
    buckets=(0, 1, 2, 3, 4, 5, 8, 12, 20, 50, 100),
)
LOADER_BATCH_SIZE = Histogram(
    "trove_loader_batch_size", "Keys per batch of a dataloader.", ["loader"], buckets=(1, 2, 5, 10, 25, 50, 100, 1000)
)
READ_PLANS = Counter(
    "trove_read_plans_total",
    "Looks into the plans of compiled reads: hit, made anew, or none because the selection has no SQL.",
    ["outcome"],
)
READ_PLANS_KEPT = Gauge("trove_read_plans_kept", "Plans of compiled reads that are kept; bounded.")
READ_PATHS = Counter(
    "trove_graphql_read_paths_total", "Answered queries by how they were read: compiled, mixed or resolvers.", ["path"]
)
POOL_CONNECTIONS = Gauge("trove_database_pool_connections", "Connections of this process's pool.", ["state"])
SOCKETS = Gauge("trove_websocket_connections", "Open WebSocket connections.")
SUBSCRIPTIONS = Gauge("trove_subscriptions", "Running subscriptions over WebSocket and SSE.")
INGEST_BATCHES_WAITING = Gauge("trove_ingest_batches_waiting", "Accepted batches not yet processed.")
INGEST_LAG_SECONDS = Gauge("trove_ingest_lag_seconds", "Age of the oldest waiting batch, in seconds.")
INGEST_ROWS = Counter("trove_ingest_rows_total", "Rows of processed batches by outcome.", ["outcome"])
DELIVERIES = Counter("trove_deliveries_total", "Attempts to deliver by channel and outcome.", ["channel", "outcome"])
DELIVERIES_WAITING = Gauge(
    "trove_deliveries_waiting", "Deliveries not yet made, those not yet due among them.", ["channel"]
)
DELIVERY_LAG_SECONDS = Gauge(
    "trove_delivery_lag_seconds", "How long the delivery waits that should have been tried first.", ["channel"]
)
NOTIFICATIONS_TO_ROUTE = Gauge(
    "trove_notifications_to_route", "Notifications of which nobody has decided where they go."
)
ALERT_CLOCK_LAG_SECONDS = Gauge(
    "trove_alert_clock_lag_seconds", "How long the alert rule waits that should have been looked at first.", ["look"]
)
ALERT_CLOCK_LAST_ROUND = Gauge(
    "trove_alert_clock_last_round_timestamp_seconds",
    "When the last round of the alert clock ended in which no look failed.",
)
ALERT_CLOCK_ROUNDS = Counter(
    "trove_alert_clock_rounds_total", "Rounds of the alert clock by how they ended.", ["outcome"]
)
ALERT_RULE_FAILURES = Counter(
    "trove_alert_rule_failures_total", "Alert rules that could not be held against what happened.", ["look"]
)
JOB_RUNS = Counter("trove_job_runs_total", "Runs of jobs by how they ended.", ["job", "state"])


class StandardErrorHandler(logging.Handler):
    """Writes to standard error as it is at the moment, wherever it was redirected to since the start."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            self.handleError(record)


def configure_logging(*, level: str, readable: bool) -> None:
    """One JSON object a line on standard error, or text for a developer, coloured in a terminal."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    text = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    renderer: structlog.types.Processor = text if readable else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = StandardErrorHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if readable else [structlog.processors.format_exc_info]),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "arq"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True
    logging.getLogger("uvicorn.access").disabled = True
    # Two lines for each socket would drown what matters.
    logging.getLogger("uvicorn.error").setLevel("WARNING")
