// An echo on npm ws that compresses: node ws-server.mjs PORT [HOST]. It never pings. SIGTERM makes it send Close 1001 to everybody, and end.
import { WebSocketServer } from "ws";

// The conformance cases send 500 pings in one write. By default ws ends a connection that owes more than 60 pongs.
const [port, host = "127.0.0.1"] = process.argv.slice(2);
const server = new WebSocketServer({ host, port: Number(port), perMessageDeflate: { threshold: 0 }, maxPendingAutoPongs: 500 });
server.on("connection", socket => {
    console.log(`connected ${socket.extensions}`.trim());
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on("error", error => console.log(`error ${error.message}`));
    socket.on("close", (code, reason) => console.log(`closed ${code} ${reason}`.trim()));
});
process.on("SIGTERM", () => {
    server.close();
    for (const socket of server.clients)
        socket.close(1001, "the application restarts");
});
