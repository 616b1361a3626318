// npm ws: node client.js URL MODE
import { WebSocket } from "ws";

const SIZES = [0, 1, 125, 126, 65535, 65536, 1048576];
const [url, mode] = process.argv.slice(2);

const socket = new WebSocket(url, mode === "offer" ? ["mqtt", "mqttv3.1"] : []);
socket.on("error", error => console.log(`error ${error.message}`));
socket.on("close", (code, reason) => console.log(`closed ${code} ${reason}`));
socket.on("open", async () => {
    console.log(`open ${socket.protocol}`.trim());
    if (mode !== "echo")
        return;
    for (const size of SIZES) {
        for (const sent of ["\u00e9".repeat(size >> 1) + "x".repeat(size & 1), Buffer.from(Uint8Array.from({ length: size }, (_, i) => i * 7))]) {
            const isText = typeof sent === "string";
            const echo = new Promise(resolve => socket.once("message", (data, isBinary) => resolve([data, isBinary])));
            socket.send(sent);
            const [data, isBinary] = await echo;
            if (isBinary === isText || !data.equals(Buffer.from(sent)))
                return console.log(`wrong echo of ${size} bytes as ${isText ? "text" : "binary"}`);
        }
    }
    console.log("echoed");
    setTimeout(() => socket.close(3001, "see you later"), 1500);
});
