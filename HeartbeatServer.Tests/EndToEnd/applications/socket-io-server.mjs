// Socket.IO: node socket-io-server.mjs PORT
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer((_, response) => response.end("a page of the application"));
const io = new Server(http);
io.on("connection", socket => {
    socket.on("echo", (text, bytes, answer) => answer(text, bytes));
    socket.on("to everybody", text => io.emit("news", text));
});
http.listen(Number(process.argv[2]), "127.0.0.1");
