# One image, two commands: license-sidecar (the default) and mock-activation (docker run --entrypoint mock-activation,
# or an image of its own: docker build --target mock-activation).
# Plain Dockerfile syntax on purpose: builds with BuildKit, the classic builder and Podman alike.

# Any Debian-like image with python3 3.11 to 3.13. Pin it by digest where builds must repeat.
ARG BASE_IMAGE=python:3.13-slim-bookworm
# The image that pip runs in: the same Python at the same path. Name another one where pip needs a company's
# certificates or mirror; nothing of it but the finished folder gets into the result.
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# Two environments: pip and the build backend stay behind in the first, the second is what ships.
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/license-sidecar
COPY requirements/build.txt requirements/run.txt requirements/
RUN tools/bin/pip install --quiet --require-hashes -r requirements/build.txt \
 && tools/bin/pip --python /opt/license-sidecar/bin/python install --quiet --no-compile --only-binary :all: \
      --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
COPY mock_activation mock_activation
# Unchecked-hash bytecode: valid whatever time stamps the layers get, and no stat per import. Not of what is never loaded:
# of kubernetes_asyncio that is all but its transport, and half of the image's size.
RUN tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheel . \
 && tools/bin/pip --python /opt/license-sidecar/bin/python install --quiet --no-compile --no-deps wheel/*.whl \
 && python3 -m compileall -q -f --invalidation-mode unchecked-hash \
      -x 'kubernetes_asyncio/(client/(api|models)|config|dynamic|leaderelection|stream|utils|watch)/' /opt/license-sidecar/lib

FROM ${BASE_IMAGE} AS runtime
# Public Python images leave out the standard library's bytecode; on a read-only root every start would compile it anew.
# The two folders are the defaults of ledger.dir and refused.dir: a volume mounted there starts with their owner.
RUN python3 -c "import compileall, re, sysconfig; compileall.compile_dir(sysconfig.get_path('stdlib'), quiet=2, rx=re.compile('/(test|tests|idlelib|tkinter|lib2to3|turtledemo|ensurepip|site-packages|dist-packages)/'))" \
 && install -d -m 0750 -o 65532 -g 65532 /var/lib/license-sidecar /run/license-sidecar
COPY --from=build /opt/license-sidecar /opt/license-sidecar
ENV PATH=/opt/license-sidecar/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that Kubernetes can check runAsNonRoot; nobody by that number is in /etc/passwd.
USER 65532:65532
WORKDIR /

FROM runtime AS mock-activation
EXPOSE 8480 8481
ENTRYPOINT ["mock-activation"]
CMD ["serve", "--host", "0.0.0.0"]

FROM runtime
EXPOSE 9480
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["license-sidecar", "probe", "live"]
ENTRYPOINT ["license-sidecar"]
CMD ["run"]
ARG REVISION=unknown
# For the metric build_info.
ENV IMAGE_REVISION=${REVISION}
LABEL org.opencontainers.image.title="license-sidecar" \
      org.opencontainers.image.description="Licence sidecar for OPSWAT MetaDefender ICAP Server, and a mock of the activation server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
