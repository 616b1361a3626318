# syntax=docker/dockerfile:1
# HeartbeatServer in a container: one native file on an image without a shell.
#
#   docker build --build-arg REVISION=$(git rev-parse HEAD) -t heartbeat-server .
#   docker run --rm --read-only --cap-drop ALL -p 8080:8080 -e HEARTBEAT_PING=10s heartbeat-server
#
# Both images have to be of one distribution: the file is linked with the libc of the first and runs on that of the second.
ARG SDK_IMAGE=mcr.microsoft.com/dotnet/sdk:10.0-noble
ARG RUNTIME_IMAGE=mcr.microsoft.com/dotnet/runtime-deps:10.0-noble-chiseled

FROM ${SDK_IMAGE} AS build
# The native compiler needs a linker and zlib.
RUN command -v clang || command -v gcc || (apt-get update && apt-get install --yes --no-install-recommends clang zlib1g-dev && rm -rf /var/lib/apt/lists/*)
WORKDIR /src
# What decides over the packages comes first: as long as it stays, so does this layer.
COPY global.json Directory.Build.props Directory.Packages.props ./
COPY HeartbeatServer/HeartbeatServer.csproj HeartbeatServer/packages.lock.json HeartbeatServer/
# The lock file is checked; then the same packages with the native compiler, which it does not name (see the project file).
RUN dotnet restore HeartbeatServer --locked-mode \
 && dotnet restore HeartbeatServer --use-current-runtime -p:_IsPublishing=true
COPY .editorconfig ./
COPY HeartbeatServer HeartbeatServer
# There is no repository here that the commit could be read from.
ARG REVISION
RUN dotnet publish HeartbeatServer -c Release --use-current-runtime --no-restore -p:SourceRevisionId=${REVISION} -o /out

FROM ${RUNTIME_IMAGE}
ARG REVISION
# That of Directory.Build.props: a test compares them.
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="HeartbeatServer" \
      org.opencontainers.image.description="A WebSocket server that keeps connections alive and says why the ones that died, died." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/HeartbeatServer /app/HeartbeatServer
# "app" of Microsoft's images, by number: Kubernetes can only see that a number is not root.
USER 1654:1654
# Options: HEARTBEAT_PING, HEARTBEAT_DRAIN and so on. Nothing is written: a read-only root file system will do.
ENV HEARTBEAT_PORT=8080
EXPOSE 8080
# SIGTERM drains: Close 1001 to all within --drain, 8 s, and "docker stop" waits for 10. With a longer drain: docker stop --time.
STOPSIGNAL SIGTERM
# It knows the options of the environment alone: a --port or --host on the command line of "docker run" it would miss. HEARTBEAT_PORT, then.
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s --retries=3 CMD ["/app/HeartbeatServer", "healthcheck"]
ENTRYPOINT ["/app/HeartbeatServer"]
