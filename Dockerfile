# One image, one user without rights; the command chooses the role: serve, worker, up.
# The base is one exact image: deploy/pin_images.sh renews its digest (docs/deployment.md).
ARG BASE=python:3.11.17-slim-trixie@sha256:45037981b62b34b44602584fccbc4d884d5f7dc92c7ee86bb38a698a79fe1e51

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1
# requirements.lock here adds the emulator and its media libraries, for a demonstration.
ARG LOCK=requirements-server.lock
WORKDIR /src
COPY . .
RUN deploy/install.sh /opt/filmgate "$LOCK"

FROM ${BASE}
LABEL org.opencontainers.image.title="filmgate" \
      org.opencontainers.image.description="A self-hosted gateway in front of fal.ai's queue for Kling image-to-video" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 filmgate \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/filmgate --shell /usr/sbin/nologin filmgate \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/filmgate /var/lib/filmgate/clips
COPY --from=build /opt/filmgate /opt/filmgate
ENV PATH=/opt/filmgate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FILMGATE_HOST=0.0.0.0 \
    FILMGATE_DATA_DIR=/var/lib/filmgate
USER 10001:10001
WORKDIR /var/lib/filmgate
EXPOSE 8000
# As the API listens by its settings, also with TLS; workers have no port, and a probe of their own.
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s --retries=3 CMD ["filmgate", "alive"]
ENTRYPOINT ["filmgate"]
CMD ["serve"]
