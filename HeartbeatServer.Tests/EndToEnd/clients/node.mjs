// Node's own WebSocket (undici): node --experimental-websocket node.mjs URL MODE
import { run } from "./web_socket.js";

const [url, mode] = process.argv.slice(2);
run(WebSocket, url, mode, line => console.log(line));
