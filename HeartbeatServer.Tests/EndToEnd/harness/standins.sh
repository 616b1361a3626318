#!/usr/bin/env bash
# Stand-ins for the base images of the Dockerfile, from the files of this machine: no image registry is needed. Needs root and buildah.
#   standins.sh SDK_TAG RUNTIME_TAG FILE     FILE: an executable whose libraries the runtime image has, and OpenSSL as every runtime-deps image has
# The SDK's has no /usr of its own: the build mounts this machine's there (buildah bud --volume /usr:/usr:ro), which spares copying 2 GB.
set -euo pipefail
sdk=$1 runtime=$2 file=$3

container=$(buildah from scratch)
root=$(buildah mount "$container")
mkdir -p "$root"/{usr,etc,root,tmp,proc,sys,dev,src}
chmod 1777 "$root/tmp"
for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
for name in passwd group hosts resolv.conf nsswitch.conf ssl alternatives ld.so.cache ld.so.conf ld.so.conf.d dotnet; do
    [ ! -e "/etc/$name" ] || cp --archive --dereference "/etc/$name" "$root/etc/" 2>/dev/null || cp --archive "/etc/$name" "$root/etc/"
done
# Where this machine gets its packages from.
[ ! -e "$HOME/.nuget/NuGet" ] || { mkdir -p "$root/root/.nuget" && cp --archive "$HOME/.nuget/NuGet" "$root/root/.nuget/"; }
buildah config --env HOME=/root --env PATH=/usr/sbin:/usr/bin --env NUGET_CERT_REVOCATION_MODE=offline --env DOTNET_NOLOGO=1 \
    --env DOTNET_CLI_TELEMETRY_OPTOUT=1 "$container"
buildah commit --quiet --rm "$container" "$sdk"

container=$(buildah from scratch)
root=$(buildah mount "$container")
mkdir -p "$root"/{etc,proc,sys,dev,tmp}
printf 'root:x:0:0::/root:/sbin/nologin\napp:x:1654:1654::/home/app:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\napp:x:1654:\n' >"$root/etc/group"
# OpenSSL is loaded by name at the start: .NET's hashes are OpenSSL's.
ssl=$(ldconfig -p | grep -Eo '/[^ ]+/libssl\.so\.3$' | head -n 1)
{ ldd "$file"; ldd "$ssl"; echo "$ssl"; } | grep -Eo '/[^ ]+' | sort -u | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp --dereference "$library" "$root$library"
done
buildah commit --quiet --rm "$container" "$runtime"
