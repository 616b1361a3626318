# syntax=docker/dockerfile:1
# HeartbeatServer in a container: one native file on an image without a shell.
#
#   docker build --build-arg REVISION=$(git rev-parse HEAD) -t heartbeat-server .
#   docker run --rm --read-only --cap-drop ALL -p 8080:8080 -e HEARTBEAT_PING=10s heartbeat-server
#
# Both images have to be of one distribution: the file is linked with the libc of the first, and runs on the libc of the second.
ARG SDK_IMAGE=mcr.microsoft.com/dotnet/sdk:10.0-noble
ARG RUNTIME_IMAGE=mcr.microsoft.com/dotnet/runtime-deps:10.0-noble-chiseled

FROM ${SDK_IMAGE} AS build
# The native compiler needs a linker and zlib.
RUN command -v clang || command -v gcc || (apt-get update && apt-get install --yes --no-install-recommends clang zlib1g-dev && rm -rf /var/lib/apt/lists/*)
WORKDIR /src
# The files that name the packages come first. As long as they stay the same, Docker keeps this layer.
COPY global.json Directory.Build.props Directory.Packages.props ./
COPY HeartbeatServer/HeartbeatServer.csproj HeartbeatServer/packages.lock.json HeartbeatServer/
# The first restore checks the lock file. The second adds the native compiler, which the lock file does not name (see the project file).
RUN dotnet restore HeartbeatServer --locked-mode \
 && dotnet restore HeartbeatServer --use-current-runtime -p:_IsPublishing=true
COPY .editorconfig ./
COPY HeartbeatServer HeartbeatServer
# There is no repository here to read the commit from.
ARG REVISION
RUN dotnet publish HeartbeatServer -c Release --use-current-runtime --no-restore -p:SourceRevisionId=${REVISION} -o /out

FROM ${RUNTIME_IMAGE}
ARG REVISION
# This is the version of Directory.Build.props. A test compares them.
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="HeartbeatServer" \
      org.opencontainers.image.description="A WebSocket server that keeps connections alive and says why the ones that died, died." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/HeartbeatServer /app/HeartbeatServer
# This is the user "app" of Microsoft's images. It is given as a number, because Kubernetes cannot see from a name that it is not root.
USER 1654:1654
# Options are HEARTBEAT_PING, HEARTBEAT_DRAIN and so on. The server writes no file: a read-only root file system will do.
ENV HEARTBEAT_PORT=8080
EXPOSE 8080
# On SIGTERM the server drains: Close 1001 to all within --drain, 8 s. "docker stop" waits for 10 s; a longer drain needs docker stop --time.
STOPSIGNAL SIGTERM
# The health check sees only the environment, not the command line of "docker run". So set HEARTBEAT_PORT there rather than --port, and HEARTBEAT_TLS_CERT
# rather than --tls-cert: with it the check speaks TLS. The runtime image has OpenSSL, which the server loads.
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s --retries=3 CMD ["/app/HeartbeatServer", "healthcheck"]
ENTRYPOINT ["/app/HeartbeatServer"]
