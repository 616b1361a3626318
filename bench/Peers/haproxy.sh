#!/bin/sh
# HAProxy as a relay, one thread: haproxy.sh FOLDER PORT UPSTREAM. FOLDER is where it may write.
cat >"$1/haproxy.cfg" <<CONF
global
    nbthread 1
    maxconn 9500
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
frontend clients
    bind 127.0.0.1:$2 backlog 4096
    default_backend application
backend application
    server application 127.0.0.1:$3
CONF
exec haproxy -db -q -f "$1/haproxy.cfg"
