// Pages of a usual application, on node:http: node pages-server.mjs PORT FILE
//   /events     three server-sent events, 300 ms apart
//   /poll       an answer after 3 s
//   /upload     how many bytes came, and their SHA-256
//   /file       the file, or the range of it that is asked for
import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const [port, file] = process.argv.slice(2);
const { size } = statSync(file);

createServer(async (request, response) => {
    response.on("close", () => response.writableEnded || console.log(`the client of ${request.url} has gone`));
    switch (request.url) {
    case "/events":
        response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
        for (let i = 1; i <= 3; i++) {
            response.write(`data: ${i}\n\n`);
            await sleep(300);
        }
        response.end();
        break;
    case "/poll":
        await sleep(3000);
        response.end("news");
        break;
    case "/upload": {
        const hash = createHash("sha256");
        let bytes = 0;
        for await (const piece of request) {
            hash.update(piece);
            bytes += piece.length;
        }
        response.end(`${bytes} ${hash.digest("hex")}`);
        break;
    }
    case "/file": {
        const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
        const [start, end] = from ? [Number(from), Number(to)] : [0, size - 1];
        response.writeHead(from ? 206 : 200, {
            "Accept-Ranges": "bytes", "Content-Length": end - start + 1, ...(from ? { "Content-Range": `bytes ${start}-${end}/${size}` } : {}) });
        createReadStream(file, { start, end }).pipe(response);
        break;
    }
    default:
        response.writeHead(404).end();
    }
}).listen(Number(port), "127.0.0.1");
