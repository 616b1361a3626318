#!/usr/bin/env bash
# Requests a second through the relay, nginx and YARP, for an answer of 1 KB and of 1 MB: pages.sh OUR_FILE YARP_DLL [ROUNDS]
# The relay in question has one core, the application (nginx) and the load (ab) have the other. The rounds are interleaved. It prints the medians and the ranges.
# apt-get install nginx apache2-utils; dotnet publish bench/Peers/Yarp -c Release -o bench/dist/yarp
set -euo pipefail
ours=$1 yarp=$2 rounds=${3:-5}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$folder"' EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
start() { taskset -c "$1" "${@:2}" >/dev/null 2>&1 & pids+=($!); }

mkdir "$folder/files" "$folder/relay"
head -c 1024 /dev/urandom >"$folder/files/1k"
head -c 1048576 /dev/urandom >"$folder/files/1m"
chmod -R a+rX "$folder"
application=$(free_port)
cat >"$folder/application.conf" <<CONF
daemon off; master_process off; pid $folder/application.pid;
events { worker_connections 4096; }
http {
    access_log off; client_body_temp_path $folder; proxy_temp_path $folder; fastcgi_temp_path $folder; uwsgi_temp_path $folder; scgi_temp_path $folder;
    server { listen 127.0.0.1:$application backlog=4096; root $folder/files; }
}
CONF
start 1 nginx -p "$folder" -c "$folder/application.conf" -e stderr

declare -A port
for name in ours nginx yarp; do port[$name]=$(free_port); done
start 0 "$ours" --port "${port[ours]}" --host 127.0.0.1 --log-level warning --upstream "http://127.0.0.1:$application"
start 0 "$here/Peers/nginx.sh" "$folder/relay" "${port[nginx]}" "$application"
start 0 dotnet "$yarp" "${port[yarp]}" "$application"
sleep 3

rate() { taskset -c 1 ab -q -c 32 -t "$1" -n 10000000 ${4:-} "http://127.0.0.1:$2/$3" 2>/dev/null | awk '/^Requests per second/ { print $4 } /^Failed requests/ && $3 > 0 { print "failed", $3 >"/dev/stderr" }'; }
for name in ours nginx yarp; do rate 2 "${port[$name]}" 1k >/dev/null; done
for ((round = 0; round < rounds; round++)); do
    for file in 1k 1m; do
        for name in ours nginx yarp; do
            rate 4 "${port[$name]}" $file >>"$folder/$file.$name"
            [ $name = ours ] || rate 4 "${port[$name]}" $file -k >>"$folder/$file.$name-k"
        done
    done
done
for file in 1k 1m; do
    for name in ours nginx yarp nginx-k yarp-k; do
        sort -n "$folder/$file.$name" | awk -v what="$file $name" '{ all[NR] = $1 } END { printf "%-12s %8.0f (%.0f-%.0f)\n", what, all[int((NR + 1) / 2)], all[1], all[NR] }'
    done
done
