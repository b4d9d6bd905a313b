# syntax=docker/dockerfile:1
# A Trellis host as an image: docker build -t trellis .
#
# What runs is Trellis' own Node (from package-lock.json, the same that tests run with), the compiled sources and their
# dependencies, on a slim Debian. No npm, no compiler and no jco are in it: the components of the configurations named below are translated
# here, in the build stage, and a host in this image runs those alone. To run others, name your configuration:
#
#   docker build --build-arg CONFIGS="config/compose/hello.yaml my/host.yaml" -t trellis .
#
# It runs as user 10001 on a read-only root filesystem; /var/lib/trellis (what must survive a crash) is the one folder it writes.

# Both images are pinned by digest; the tags say what they are.
ARG BUILD_IMAGE=node:26.10.0-trixie-slim@sha256:ec7758ee051e457b468b32bde57b0879010b325bb9862718e9615225ce4aaae1
ARG BASE_IMAGE=debian:trixie-20260918-slim@sha256:a99cfc517144bc59b1978475ec53b46ecabec7e43635402ee5b77cc54cd1b20a

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
# Dependencies first: they change less often than sources.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
ARG CONFIGS="config/compose/hello.yaml config/compose/chain.yaml"
RUN node setup/run.mjs image /image ${CONFIGS}

FROM ${BASE_IMAGE} AS host
COPY --from=build /image/ /
# An empty volume that is mounted here takes over owner and mode.
RUN install -d -m 0700 -o 10001 -g 10001 /var/lib/trellis /var/lib/trellis-keys
ENV TRELLIS_ADMIN_LISTEN=127.0.0.1:9464 \
    TRELLIS_CACHE_DIR=/app/translated \
    TRELLIS_STATE_DIR=/var/lib/trellis
WORKDIR /
USER 10001:10001
STOPSIGNAL SIGTERM
# Ready is: connected, serving and not draining. The address is that of TRELLIS_ADMIN_LISTEN.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["/usr/local/bin/node", "-e", "require('node:http').get('http://127.0.0.1:9464/readyz', ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
ENTRYPOINT ["/usr/local/bin/node", "/app/dist/daemon/main.js"]
CMD ["--help"]
