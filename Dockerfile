# A worker by default; any `sec` command can be run: docker run IMAGE sec status
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/venv
# The locked packages change rarely: a layer of their own. Wheels only, so that nothing is compiled. The lock is complete.
COPY requirements.txt ./
RUN /opt/venv/bin/pip install --no-deps --require-hashes --only-binary :all: -r requirements.txt \
    && /opt/venv/bin/pip check
COPY pyproject.toml README.md ./
COPY sec_core sec_core
COPY tasks tasks
COPY flows flows
COPY deployments deployments
# What only developers of the packages need is a tenth of their size.
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation . \
    && /opt/venv/bin/pip uninstall --yes --quiet pip setuptools \
    && find /opt/venv/lib -type d \( -name tests -o -name include \) -prune -exec rm -rf {} + \
    && find /opt/venv/lib -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' \) -delete

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 sec \
    && useradd --uid 10001 --gid sec --no-create-home --home-dir /data --shell /usr/sbin/nologin sec \
    && install -d -o sec -g sec -m 0700 /data
COPY --from=build /opt/venv /opt/venv
COPY prefect.yaml /app/
# HOME and all data lie in the volume: the rest of the file system may be read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data \
    SEC_DATA_DIR=/data \
    SEC_STATE_DIR=/data \
    PREFECT_API_URL=http://prefect:4200/api
WORKDIR /app
USER 10001:10001
VOLUME /data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=20s --start-period=90s --retries=3 CMD ["sec", "alive"]
CMD ["sec", "worker"]
