// The WebSocket of browsers, and of Node, which has the same interface. See README.md for what a client has to do.

const SIZES = [0, 1, 125, 126, 65535, 65536, 1048576];

export function run(WebSocket, url, mode, report) {
    const socket = new WebSocket(url, mode === "offer" ? ["mqtt", "mqttv3.1"] : []);
    socket.binaryType = "arraybuffer";
    let onMessage = () => {};
    socket.onmessage = event => onMessage(event.data);
    socket.onclose = event => report(`closed ${event.code} ${event.reason}`);
    socket.onopen = async () => {
        report(`open ${socket.protocol}`.trim());
        if (mode !== "echo")
            return;
        for (const size of SIZES) {
            for (const sent of [text(size), binary(size)]) {
                const came = await new Promise(resolve => {
                    onMessage = resolve;
                    socket.send(sent);
                });
                if (!same(sent, came))
                    return report(`wrong echo of ${size} bytes as ${typeof sent}`);
            }
        }
        report("echoed");
        setTimeout(() => socket.close(3001, "see you later"), 1500);
    };
}

function text(size) {
    return "\u00e9".repeat(size >> 1) + "x".repeat(size & 1);
}

function binary(size) {
    return Uint8Array.from({ length: size }, (_, i) => i * 7);
}

function same(sent, came) {
    if (typeof sent === "string")
        return sent === came;
    const bytes = new Uint8Array(came);
    return bytes.length === sent.length && bytes.every((value, i) => value === sent[i]);
}
