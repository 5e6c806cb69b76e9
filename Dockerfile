# Freehold: the vault agent, and with `control serve --config FILE` the control plane. Runs as an
# ordinary user and needs no writable root file system. The anchor has a volume of its own, so that
# a restore of the data does not set it back as well (docs/spec/anchor.md):
#
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges \
#     -v freehold-config:/etc/freehold:ro -v freehold-data:/var/lib/freehold \
#     -v freehold-anchor:/var/lib/freehold-anchor -v freehold-logs:/var/log/freehold \
#     -v freehold-key:/var/lib/freehold-key -p 8200:8200 freehold

# The web interface; nothing of node is in the image.
FROM node:22-trixie-slim AS web
WORKDIR /src
COPY ui/web/package.json ui/web/package-lock.json ui/web/.npmrc ./
RUN npm ci --ignore-scripts
COPY ui/web ./
RUN npm run build

FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# Dependencies first: they change less often than the source.
COPY requirements/base.txt requirements/build.txt requirements/
RUN python -m venv --without-pip /opt/freehold \
 && pip --python /opt/freehold/bin/python install --require-hashes -r requirements/base.txt \
 && pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY actors actors
COPY protocols protocols
COPY vault vault
COPY control control
COPY ui ui
COPY --from=web /src/dist ui/web/dist
RUN pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
 && pip --python /opt/freehold/bin/python install --no-deps --no-index /wheels/*.whl \
 && /opt/freehold/bin/python -m compileall -q /opt/freehold/lib

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="Freehold" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 freehold \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/freehold freehold \
 && install -d -o freehold -g freehold -m 0700 \
      /var/lib/freehold /var/lib/freehold-anchor /var/lib/freehold-key /var/log/freehold \
 && install -d -o root -g freehold -m 0750 /etc/freehold
COPY --from=build /opt/freehold /opt/freehold
ENV PATH=/opt/freehold/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FREEHOLD_ADDR=https://127.0.0.1:8200 \
    FREEHOLD_CACERT=/etc/freehold/tls/ca.crt
USER 10001:10001
VOLUME ["/var/lib/freehold", "/var/lib/freehold-anchor", "/var/lib/freehold-key", "/var/log/freehold"]
EXPOSE 8200
STOPSIGNAL SIGTERM
# A sealed agent (exit code 2) is healthy: it waits for people, and a restart would not help it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
  CMD ["sh", "-c", "freehold status >/dev/null; case $? in 0|2) exit 0 ;; *) exit 1 ;; esac"]
ENTRYPOINT ["freehold"]
CMD ["agent", "serve", "--config", "/etc/freehold/vault.yaml"]
