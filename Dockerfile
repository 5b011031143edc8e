# syntax=docker/dockerfile:1
#
# Two images from one file:
#   docker build --target cuda -t afterimage:cuda .
#   docker build --target cpu  -t afterimage:cpu --build-arg TORCH_INDEX=… .
# TORCH_INDEX is the address of the PyTorch CPU wheel index; see docs/operations.md, "Installing".
# Nothing is downloaded when a container starts: the bundled weights are in the wheel.

ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY service ./service
COPY models ./models
COPY index ./index
RUN --mount=type=cache,target=/root/.cache/pip \
    pip wheel --no-deps --wheel-dir /wheels .

FROM python:${PYTHON} AS environment
RUN python -m venv /opt/afterimage
ENV PATH=/opt/afterimage/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /locks
COPY requirements/*.txt ./

# torch and torchvision always come from one index: mixed, they do not import.
FROM environment AS environment-cpu
ARG TORCH_INDEX=""
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    : "${TORCH_INDEX:?Name the PyTorch CPU wheel index with --build-arg TORCH_INDEX=...}" \
    && grep -oE '^(torch|torchvision)==[0-9.]+' runtime.txt > torch.txt \
    && pip install --no-deps --index-url "${TORCH_INDEX}" --requirement torch.txt \
    && pip install --no-deps --require-hashes --requirement without-torch.txt \
    && pip install --no-deps /wheels/*.whl

FROM environment AS environment-cuda
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-deps --require-hashes --requirement runtime.txt \
    && pip install --no-deps /wheels/*.whl

FROM python:${PYTHON} AS runtime
RUN groupadd --gid 10001 afterimage \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin afterimage \
    && install --directory --owner 10001 --group 10001 /data /cache
ENV PATH=/opt/afterimage/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/cache/huggingface \
    AFTERIMAGE_DATA_DIR=/data \
    AFTERIMAGE_HOST=0.0.0.0 \
    AFTERIMAGE_PORT=8080
WORKDIR /data
VOLUME ["/data", "/cache"]
EXPOSE 8080
USER 10001:10001
STOPSIGNAL SIGTERM
# Ready means that a picture went through the real queue and index, so this notices more than an open port.
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['AFTERIMAGE_PORT'] + '/readyz', timeout=8)"]
ENTRYPOINT ["afterimage"]
CMD ["serve"]

FROM runtime AS cpu
COPY --from=environment-cpu /opt/afterimage /opt/afterimage

FROM runtime AS cuda
COPY --from=environment-cuda /opt/afterimage /opt/afterimage
