# souk in a container: built in one stage, run in another that has only Debian's least and the libraries that the binary calls.
#     docker build --tag souk . && docker run --read-only --publish 127.0.0.1:8080:8080 --volume souk:/data souk
# `make image-test` carries out these steps without Docker.
FROM debian:12-slim AS build
WORKDIR /souk
COPY scripts/lib.sh scripts/setup scripts/build scripts/
RUN scripts/setup run
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY db db
COPY src src
RUN scripts/build release souk && strip --strip-unneeded build/release/souk

FROM debian:12-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libbrotli1 libcurl4 libhiredis0.14 libjansson4 \
        libmicrohttpd12 libpq5 libsodium23 libsqlite3-0 libssl3 libunistring2 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /data --no-create-home souk \
    && install --directory --owner=souk --group=souk --mode=0750 /data
COPY --from=build /souk/build/release/souk /usr/bin/souk
# By number, so that an orchestrator sees that it is not root.
USER 10001:10001
# It writes nowhere else; on PostgreSQL, with SOUK_SMTP_URL set, not even here.
VOLUME /data
WORKDIR /data
ENV SOUK_DATA=/data SOUK_LISTEN=0.0.0.0:8080
EXPOSE 8080
# It finishes what runs and exits with 0.
STOPSIGNAL SIGTERM
# Whether the process answers. Not whether its database does: a container that is replaced for that mends nothing.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 CMD ["souk", "health", "--live"]
ENTRYPOINT ["souk"]
CMD ["serve"]
