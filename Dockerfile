# An image for each kind of process: web, worker, worker-gpu; and flower and celery-exporter for monitoring.
#   docker build --target web --tag sentiq-web .
# Versions of packages are in constraints.txt (and monitoring/requirements.txt). The tag of the base is a moving one, for Debian's security updates;
# to build the same twice, give its digest: --build-arg PYTHON_IMAGE=python:3.13-slim-trixie@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim-trixie
# celery-exporter refuses Python 3.13.
ARG MONITORING_IMAGE=python:3.12-slim-trixie

# Makes all environments. pip stays in this stage and is not in the images.
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY pyproject.toml constraints.txt ./
COPY deploy/requirements.py deploy/prune.py deploy/
RUN python -m venv --without-pip /venv

# Sentiq's code is copied later; here only its name, its version and the command `sentiq` are installed.
FROM build AS build-web
RUN python deploy/requirements.py web > web.txt \
 && pip --python /venv/bin/python install --constraint constraints.txt --requirement web.txt \
 && mkdir model tasks webapp && touch celeryconfig.py README.md LICENSE \
 && pip --python /venv/bin/python install --no-deps . \
 && rm /venv/lib/python3*/site-packages/celeryconfig.py \
 && python deploy/prune.py /venv

# A third of OpenVINO is drivers for GPUs and NPUs; the compiled engine runs on the CPU.
FROM build AS build-worker
RUN python deploy/requirements.py worker > worker.txt \
 && pip --python /venv/bin/python install --constraint constraints.txt --requirement worker.txt \
 && rm /venv/lib/python3*/site-packages/openvino/libs/libopenvino_intel_[gn]pu_plugin.so \
       /venv/lib/python3*/site-packages/openvino/libs/cache.json \
 && python deploy/prune.py /venv

# torch from PyPI brings the CUDA libraries that it was built with; the driver comes from the host (NVIDIA's container toolkit).
FROM build AS build-worker-gpu
RUN python deploy/requirements.py worker-gpu > worker-gpu.txt \
 && pip --python /venv/bin/python install --constraint constraints.txt --requirement worker-gpu.txt

FROM ${MONITORING_IMAGE} AS build-monitoring
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY monitoring/requirements.txt /build/
RUN python -m venv --without-pip /venv && pip --python /venv/bin/python install --requirement /build/requirements.txt

# The base of Sentiq's own images. Only /data and /tmp have to be writable.
FROM ${PYTHON_IMAGE} AS base
RUN groupadd --gid 10001 sentiq \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin sentiq \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data
WORKDIR /app
# Whatever the modes of the clone are (umask 077), the process has to read the files.
COPY --chmod=755 celeryconfig.py ./
COPY --chmod=755 model/*.py model/
COPY --chmod=755 model/engines/ model/engines/
COPY --chmod=755 model/patches/ model/patches/
COPY --chmod=755 model/samples/ model/samples/
COPY --chmod=755 model/shares/ model/shares/
COPY --chmod=755 model/default/*.json model/default/README.md model/default/
COPY --chmod=755 tasks/ tasks/

FROM base AS web
COPY --from=build-web /venv /venv
COPY --chmod=755 webapp/ webapp/
RUN ["python", "-m", "compileall", "-q", "/app"]
# /metrics has a port of its own, which must not be published. Gunicorn's heartbeat files are in memory, so that a slow disk does not look like a dead
# worker.
ENV HOST=0.0.0.0 PORT=8000 METRICS_HOST=0.0.0.0 WEB_METRICS_PORT=9100 GUNICORN_CMD_ARGS="--worker-tmp-dir /dev/shm"
USER 10001:10001
EXPOSE 8000 9100
# Healthy means that it answers and reaches Redis. Docker starts nothing anew that is unhealthy; what does so should ask /health/live instead.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=1s --retries=3 \
  CMD ["python", "-S", "-c", "import os, http.client as h; c = h.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/health/ready?role=web'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["python", "-m", "gunicorn", "-c", "python:webapp.server.gunicorn_conf", "webapp.wsgi:app"]

FROM base AS worker
COPY --from=build-worker /venv /venv
COPY --chmod=755 model/default/graph.* model/default/
RUN ["python", "-m", "compileall", "-q", "/app"]
ENV METRICS_HOST=0.0.0.0 METRICS_PORT=9100
USER 10001:10001
EXPOSE 9100
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --start-interval=2s --retries=3 CMD ["python", "-m", "tasks.probe", "ready"]
# interactive or batch: at least one of each is needed.
CMD ["python", "-m", "tasks.worker", "interactive"]

FROM base AS worker-gpu
COPY --from=build-worker-gpu /venv /venv
COPY --chmod=755 model/default/model.safetensors model/default/
# Models from a hub are kept in /hub, which should be a volume.
RUN python -m compileall -q /app && install --directory --owner=10001 --group=10001 --mode=0700 /hub
ENV METRICS_HOST=0.0.0.0 METRICS_PORT=9100 DEVICE=cuda:0 HF_HOME=/hub NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
EXPOSE 9100
HEALTHCHECK --interval=15s --timeout=10s --start-period=300s --start-interval=2s --retries=3 CMD ["python", "-m", "tasks.probe", "ready"]
CMD ["python", "-m", "tasks.worker", "interactive"]

FROM ${MONITORING_IMAGE} AS monitoring
COPY --from=build-monitoring /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001:10001

# CELERY_BROKER_URL, FLOWER_BASIC_AUTH and any other option of Flower as FLOWER_...
FROM monitoring AS flower
EXPOSE 5555
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --start-interval=2s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:5555/' + os.environ.get('FLOWER_URL_PREFIX', '') + '/healthcheck', timeout=4)"]
CMD ["python", "-m", "celery", "flower"]

# CE_BROKER_URL, and any other option as CE_...
FROM monitoring AS celery-exporter
EXPOSE 9808
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --start-interval=2s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9808/health', timeout=4)"]
CMD ["python", "-c", "from src.cli import cli; cli(auto_envvar_prefix='CE')"]
