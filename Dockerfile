# Freehold's images: `--target agent` (the default), `control`, `operator` or `cli`.
# docs/start/containers.md.
#
# All run as an ordinary user, need no writable root file system, and have neither a shell nor a
# package manager. BASE is Debian 13: an image of a registry, or what `make image` makes by
# debootstrap. `--secret id=ca,src=FILE` is for builds behind a proxy that has its own authority.
ARG BASE=debian:trixie-slim

# The web interface; nothing of node is in the images. It is the same for every processor: `make
# image` has built it already, and takes it in place of this stage (--build-context pages=ui/web).
FROM ${BASE} AS web
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends nodejs npm
WORKDIR /src
COPY ui/web/package.json ui/web/package-lock.json ui/web/.npmrc ./
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi \
 && npm ci --ignore-scripts
COPY ui/web ./
RUN npm run build

FROM scratch AS pages
COPY --from=web /src/dist /dist

FROM ${BASE} AS build
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv
# What a Python program needs of Debian, and nothing else: libraries, the interpreter without idle
# and pip, the authorities of the web. Its packages are listed where scanners look for them.
WORKDIR /rootfs
RUN mkdir -p /tmp/debs var/lib/dpkg/status.d \
 && cd /tmp/debs \
 && apt-get -o APT::Sandbox::User=root download base-files libbz2-1.0 libc6 libexpat1 libffi8 libgcc-s1 liblzma5 \
      libpython3.13-minimal libpython3.13-stdlib libsqlite3-0 libssl3t64 libstdc++6 libuuid1 libzstd1 \
      media-types netbase python3-minimal python3.13-minimal zlib1g \
 && for deb in *.deb; do \
      dpkg-deb --extract "$deb" /rootfs && \
      dpkg-deb --field "$deb" > /rootfs/var/lib/dpkg/status.d/"${deb%%_*}" || exit 1; \
    done \
 && cd /rootfs && rm -rf /tmp/debs usr/share/doc usr/share/man usr/share/lintian usr/share/bug \
      usr/lib/python3.13/idlelib usr/lib/python3.13/ensurepip usr/lib/python3.13/pydoc_data \
 && for link in bin lib lib64 sbin; do [ -e "$link" ] || ln -s "usr/$link" "$link"; done \
 && mkdir -p usr/lib64 usr/sbin etc/ssl/certs home proc sys dev run tmp var/tmp && chmod 1777 tmp var/tmp \
 && cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/ \
 && printf 'root:x:0:0:root:/:/usr/sbin/nologin\nfreehold:x:10001:10001::/var/lib/freehold:/usr/sbin/nologin\n' > etc/passwd \
 && printf 'root:x:0:\nfreehold:x:10001:\n' > etc/group \
 && printf 'hosts: files dns\n' > etc/nsswitch.conf

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# Dependencies first: they change less often than the source.
COPY requirements/base.txt requirements/build.txt requirements/
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
 && python3 -m venv /opt/build \
 && python3 -m venv --without-pip /opt/freehold \
 && /opt/build/bin/pip --python /opt/freehold/bin/python install --no-compile --require-hashes -r requirements/base.txt \
 && /opt/build/bin/pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY actors actors
COPY protocols protocols
COPY vault vault
COPY control control
COPY kube_operator kube_operator
COPY ui ui
COPY --from=pages /dist ui/web/dist
RUN /opt/build/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
 && /opt/build/bin/pip --python /opt/freehold/bin/python install --no-compile --no-deps --no-index /wheels/*.whl \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/freehold/lib /rootfs/usr/lib/python3.13

FROM scratch AS runtime
COPY --from=build /rootfs /
COPY --from=build /opt/freehold /opt/freehold
ENV PATH=/opt/freehold/bin:/usr/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.licenses="Apache-2.0"
# Folders of an image become those of a new volume, with owner and mode.
FROM ${BASE} AS folders
RUN for name in freehold freehold-anchor freehold-key freehold-control; do \
      install -d -o 10001 -g 10001 -m 0700 "/folders/$name/var/lib/$name"; \
    done \
 && install -d -o 10001 -g 10001 -m 0700 /folders/freehold/var/log/freehold \
 && install -d -o 10001 -g 10001 -m 0750 /folders/etc/etc/freehold \
 && install -d -o 10001 -g 10001 -m 0700 /folders/home/home/freehold

# The command line alone, for scripts and pipelines.
FROM runtime AS cli
LABEL org.opencontainers.image.title="Freehold command line"
COPY --from=folders /folders/home /
ENV HOME=/home/freehold
USER 10001:10001
ENTRYPOINT ["freehold"]
CMD ["--help"]

# The Kubernetes operator: it keeps nothing.
FROM runtime AS operator
LABEL org.opencontainers.image.title="Freehold Kubernetes operator"
COPY --from=folders /folders/etc /
COPY --from=folders /folders/home /
ENV HOME=/home/freehold
USER 10001:10001
EXPOSE 8400
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["freehold", "kubernetes", "health", "--config", "/etc/freehold/operator.yaml"]
ENTRYPOINT ["freehold"]
CMD ["kubernetes", "serve", "--config", "/etc/freehold/operator.yaml"]

FROM runtime AS control
LABEL org.opencontainers.image.title="Freehold control plane"
COPY --from=folders /folders/etc /
COPY --from=folders /folders/freehold-control /
ENV HOME=/var/lib/freehold-control
USER 10001:10001
VOLUME ["/etc/freehold", "/var/lib/freehold-control"]
EXPOSE 8300 8301
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["freehold", "control", "health", "--config", "/etc/freehold/control.yaml"]
ENTRYPOINT ["freehold"]
CMD ["control", "serve", "--config", "/etc/freehold/control.yaml"]

FROM runtime AS agent
LABEL org.opencontainers.image.title="Freehold agent"
COPY --from=folders /folders/etc /
COPY --from=folders /folders/freehold /
COPY --from=folders /folders/freehold-anchor /
COPY --from=folders /folders/freehold-key /
ENV HOME=/var/lib/freehold \
    FREEHOLD_ADDR=https://127.0.0.1:8200 \
    FREEHOLD_CACERT=/etc/freehold/tls/ca.crt
USER 10001:10001
# The anchor is apart, so that a restore of the data does not set it back as well; so is the key.
VOLUME ["/etc/freehold", "/var/lib/freehold", "/var/lib/freehold-anchor", "/var/lib/freehold-key", "/var/log/freehold"]
EXPOSE 8200
STOPSIGNAL SIGTERM
# A sealed agent is healthy: it waits for people, and a restart would not help it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["freehold", "agent", "health", "--config", "/etc/freehold/vault.yaml"]
ENTRYPOINT ["freehold"]
CMD ["agent", "serve", "--config", "/etc/freehold/vault.yaml"]
