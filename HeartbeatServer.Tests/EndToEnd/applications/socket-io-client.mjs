// node socket-io-client.mjs PORT [websocket|any]: "any" begins with polling, and goes over to a WebSocket.
import { once } from "node:events";
import { io } from "socket.io-client";
import { expect, twice } from "./client.mjs";

const [port, transport] = process.argv.slice(2);
const socket = io(`http://127.0.0.1:${port}`, { reconnection: false, ...(transport === "any" ? {} : { transports: ["websocket"] }) });
socket.on("connect_error", error => console.log(`error ${error.message}`));
await once(socket.io, "open");
const { engine } = socket.io;
console.log(`open ${engine.transport.name}`);
if (engine.transport.name !== "websocket")
    await once(engine, "upgrade");
console.log(`over ${engine.transport.name}`);
if (!socket.connected)
    await once(socket, "connect");
await twice(async () => {
    const bytes = Buffer.from(Uint8Array.from({ length: 100_000 }, (_, i) => i * 7));
    const [text, echoed] = await new Promise(resolve => socket.emit("echo", "\u00e9t\u00e9", bytes, (...answer) => resolve(answer)));
    expect("the text", text, "\u00e9t\u00e9");
    expect("the bytes", Buffer.compare(Buffer.from(echoed), bytes), 0);
    const news = once(socket, "news");
    socket.emit("to everybody", "hello");
    expect("the news", await news, ["hello"]);
});
socket.on("disconnect", reason => console.log(`closed ${reason}`));
socket.disconnect();
