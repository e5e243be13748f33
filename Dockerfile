# Build:  docker build -t file_watcher .
# Run:    docker run -v /srv/music:/data/music:ro -v file_watcher:/var/lib/file_watcher \
#             -e RABBITMQ_URL=amqp://user:password@broker/%2F -p 127.0.0.1:8085:8085 file_watcher
# The library is only read; mount it read-only. The state volume keeps catalog and unsent events.

# The Python that the tests run with.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
# Two environments: one that builds, and one without pip that is all that the image gets.
RUN python -m venv /opt/build && python -m venv --without-pip /opt/file_watcher
RUN /opt/build/bin/pip install --require-hashes -r requirements-build.lock
RUN /opt/build/bin/pip --python /opt/file_watcher/bin/python install \
        --require-hashes --only-binary=:all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY file_watcher ./file_watcher
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/build/bin/pip --python /opt/file_watcher/bin/python install --no-deps --no-index dist/*.whl

FROM ${PYTHON_IMAGE}
# The base image's own pip has no business in a service; the user has no home but the state folder.
RUN rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/lib/python3.*/ensurepip \
        /usr/local/bin/pip* /usr/local/bin/wheel \
    && groupadd --gid 10001 file_watcher \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/file_watcher \
        --shell /usr/sbin/nologin file_watcher \
    && install -d -o file_watcher -g file_watcher -m 0700 /var/lib/file_watcher \
    && install -d /data/music
COPY --from=build /opt/file_watcher /opt/file_watcher
ENV PATH=/opt/file_watcher/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_STATE_HOME=/var/lib \
    WATCHER_HTTP_ADDR=0.0.0.0:8085
USER 10001:10001
WORKDIR /
VOLUME /var/lib/file_watcher
EXPOSE 8085
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "file_watcher", "status", "--healthy"]
ENTRYPOINT ["python", "-m", "file_watcher"]
CMD ["run"]
