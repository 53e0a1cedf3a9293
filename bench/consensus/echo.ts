/** The other end of `round.ts`, a process of its own: `node echo.ts FILE` answers each message, after a write and an fdatasync of it where FILE is given. */
import { fdatasync, openSync, write } from "node:fs";
import { createServer } from "node:net";

const [file] = process.argv.slice(2);
const descriptor = file === undefined ? undefined : openSync(file, "a");
const server = createServer((socket) => {
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("data", (bytes: Buffer) => {
    if (descriptor === undefined) {
      socket.write(bytes);
      return;
    }
    write(descriptor, bytes, () => fdatasync(descriptor, () => socket.write(bytes)));
  });
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.send?.(address !== null && typeof address === "object" ? address.port : 0);
});
process.on("disconnect", () => process.exit(0)); // whoever measures has ended
