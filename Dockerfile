# The service as an image: what it needs, its weights and its code, each in a layer of its own, so that a change of one
# moves nothing else. Builds with docker and with buildah (--format docker: OCI images know no HEALTHCHECK).
# --target slim leaves PyTorch out: for CPUs, with the bundled weights.
#
#   BASE_IMAGE           any Debian or what comes from it, with or without Python; 3.11 or newer it has to be
#   PYTHON               what of that to use, as a command and as a package of Debian's
#   TORCH_INDEX_URL      PyTorch's index for processors makes the image small; empty is the build with CUDA
#   TORCH_VERSION, TORCHVISION_VERSION   a pair; empty takes the newest
#   EXTRAS               of pyproject.toml, separated by commas
#   PIP_INDEX_URL        a mirror of PyPI; or a pip.conf as the secret "pip", where passwords stay out of the history
#   VERSION, REVISION, LICENSES          for the labels

ARG BASE_IMAGE=python:3.12-slim-bookworm
ARG PYTHON=python3

FROM ${BASE_IMAGE} AS base
ARG PYTHON
SHELL ["/bin/sh", "-euc"]
# tini: what an HTTP process that was killed leaves behind (its decoders) is reaped by nobody else. Which versions of
# Debian's packages there are, is the base image's to say.
# hadolint ignore=DL3008
RUN set --; \
    command -v "${PYTHON}" >/dev/null || set -- "${PYTHON}"; \
    command -v tini >/dev/null || set -- "$@" tini; \
    if [ "$#" -gt 0 ]; then \
        apt-get update -q; \
        apt-get install -qq -y --no-install-recommends "$@"; \
        rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log; \
    fi; \
    "${PYTHON}" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; \
    groupadd --gid 10001 iqa; \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/iqa --shell /usr/sbin/nologin iqa; \
    install -d -o 10001 -g 10001 /var/lib/iqa


FROM base AS builder
ARG PYTHON
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# hadolint ignore=DL3008
RUN if ! "${PYTHON}" -m pip --version >/dev/null 2>&1; then \
        apt-get update -q; \
        apt-get install -qq -y --no-install-recommends python3-pip; \
        rm -rf /var/lib/apt/lists/*; \
    fi; \
    "${PYTHON}" -m venv --without-pip /opt/venv
COPY docker/constraints.txt docker/tidy.py docker/

# PyTorch apart from the rest: it is nine tenths of the image, and the others change more often.
FROM builder AS torch
ARG PYTHON
ARG PIP_INDEX_URL
ARG TORCH_INDEX_URL=""
ARG TORCH_VERSION=2.15.0
ARG TORCHVISION_VERSION=0.29.2
# From their own index only the two themselves; what they need comes from where everything comes from.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    torch="torch${TORCH_VERSION:+==${TORCH_VERSION}}"; \
    torchvision="torchvision${TORCHVISION_VERSION:+==${TORCHVISION_VERSION}}"; \
    if [ -n "${TORCH_INDEX_URL}" ]; then \
        "${PYTHON}" -m pip --python /opt/venv/bin/python download -q --no-deps --dest /wheels \
            --index-url "${TORCH_INDEX_URL}" "${torch}" "${torchvision}"; \
        set -- /wheels/*.whl; \
    else \
        set -- "${torch}" "${torchvision}"; \
    fi; \
    "${PYTHON}" -m pip --python /opt/venv/bin/python install -q --target /opt/torch \
        --constraint docker/constraints.txt "$@"; \
    "${PYTHON}" docker/tidy.py /opt/torch; \
    echo /opt/torch >"$(/opt/venv/bin/python -c 'import site; print(site.getsitepackages()[0])')/torch.pth"


FROM torch AS dependencies
ARG PYTHON
ARG PIP_INDEX_URL
ARG EXTRAS=heic
COPY pyproject.toml ./
COPY docker/requirements.py docker/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    "${PYTHON}" docker/requirements.py "${EXTRAS}" >requirements.txt; \
    "${PYTHON}" -m pip --python /opt/venv/bin/python install -q \
        --constraint docker/constraints.txt --requirement requirements.txt; \
    "${PYTHON}" docker/tidy.py /opt/venv


FROM builder AS slim-dependencies
ARG PYTHON
ARG PIP_INDEX_URL
ARG EXTRAS=heic
COPY pyproject.toml ./
COPY docker/requirements.py docker/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    "${PYTHON}" docker/requirements.py --slim "${EXTRAS}" >requirements.txt; \
    "${PYTHON}" -m pip --python /opt/venv/bin/python install -q \
        --constraint docker/constraints.txt --requirement requirements.txt; \
    "${PYTHON}" docker/tidy.py /opt/venv


FROM builder AS service
ARG PYTHON
ARG PIP_INDEX_URL
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    "${PYTHON}" -m pip install -q --target /opt/setuptools --constraint docker/constraints.txt setuptools
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY models models
COPY docker/ready.py docker/
RUN mv models/weights /weights; \
    PYTHONPATH=/opt/setuptools "${PYTHON}" -m pip --python /opt/venv/bin/python install -q --no-deps \
        --no-index --no-build-isolation --target /opt/iqa .; \
    install -m 0755 docker/ready.py /opt/iqa/bin/ready; \
    "${PYTHON}" docker/tidy.py /opt/iqa /weights


# The models compiled for the processor that the image is built on; on another one they are compiled at the start.
FROM slim-dependencies AS graphs
COPY --from=service /opt/iqa /opt/iqa
COPY --from=service /weights /opt/iqa/models/weights
RUN XDG_CACHE_HOME=/graphs PYTHONPATH=/opt/iqa /opt/venv/bin/python -m app.cli weights export --devices cpu


FROM base AS image
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG LICENSES=Apache-2.0
LABEL org.opencontainers.image.title="iqa-service" \
      org.opencontainers.image.description="Says how good an image looks, and why: BPCLIP and QualiCLIP over HTTP" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="${LICENSES}"

# Modules are compiled already, and the root may be read-only. Sockets and metrics lie below /tmp, downloaded weights
# (IQA_QUALICLIP_WEIGHTS=official) below /var/lib/iqa.
ENV PATH=/opt/iqa/bin:/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/iqa \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/var/lib/iqa \
    IQA_HOST=0.0.0.0

# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/iqa
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=120s --retries=2 CMD ["ready"]
ENTRYPOINT ["tini", "--", "iqa"]
CMD ["serve"]


FROM image AS slim
COPY --from=slim-dependencies /opt/venv /opt/venv
COPY --from=service /weights /opt/iqa/models/weights
COPY --from=graphs --chown=10001:10001 /graphs /var/lib/iqa
COPY --from=service /opt/iqa /opt/iqa


FROM image
COPY --from=torch /opt/torch /opt/torch
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=service /weights /opt/iqa/models/weights
COPY --from=graphs --chown=10001:10001 /graphs /var/lib/iqa
COPY --from=service /opt/iqa /opt/iqa
