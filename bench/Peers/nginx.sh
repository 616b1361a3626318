#!/bin/sh
# nginx as a relay, one process: nginx.sh FOLDER PORT UPSTREAM. FOLDER is where it may write.
cat >"$1/nginx.conf" <<CONF
daemon off;
master_process off;
worker_rlimit_nofile 20000;
pid $1/nginx.pid;
events { worker_connections 20000; }
http {
    access_log off;
    proxy_temp_path $1/nginx-temp; client_body_temp_path $1/nginx-temp; fastcgi_temp_path $1/nginx-temp; uwsgi_temp_path $1/nginx-temp;
    scgi_temp_path $1/nginx-temp;
    server {
        listen 127.0.0.1:$2 backlog=4096;
        location / {
            proxy_pass http://127.0.0.1:$3;
            proxy_http_version 1.1;
            proxy_set_header Host \$http_host;
            proxy_set_header Upgrade \$http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }
    }
}
CONF
exec nginx -p "$1" -c "$1/nginx.conf" -e stderr
