# syntax=docker/dockerfile:1
# One image for the API, the worker and the migrations: `docker run trove api | worker | migrate`.

FROM python:3.13-slim-bookworm AS build
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/trove
RUN pip install --no-cache-dir uv==0.13.8
WORKDIR /build
# The dependencies are a layer of their own, rebuilt only when the lock changes. All come as wheels: no compiler here.
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-install-project --no-build
COPY README.md LICENSE NOTICE ./
COPY app app
COPY workers workers
COPY migrations migrations
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-editable

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="Trove" \
      org.opencontainers.image.description="One GraphQL API for what people own: what a thing is, what it is worth, and where it is." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 trove \
    && useradd --system --uid 10001 --gid trove --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin trove \
    && install --directory --owner=trove --group=trove --mode=0700 /var/lib/trove
COPY --from=build /opt/trove /opt/trove
ENV PATH=/opt/trove/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TROVE_HOST=0.0.0.0 \
    TROVE_PORT=8000
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
# For the API. A worker or a migration has no port: switch this off there, as compose.yaml does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"TROVE_PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["trove"]
CMD ["api"]
