import { existsSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { ADMIN_SOCKET, ADMIN_SOCKET_POINTER, SOCKET_PATH_BYTES_MAX } from "../config/data-folder.ts";
import { systemCode } from "../core/errors.ts";
import { NodeError } from "./node-error.ts";

export interface SocketPlace {
  readonly path: string;
  /** To be called once nothing listens there any more. */
  forget(): void;
}

/**
 * Where the admin socket is made: in the data folder, or where that path is too long for a unix socket, in a folder of its own (0700)
 * under the temporary one, whose name a file in the data folder tells the clients. The caller holds the data folder's lock.
 */
export function placeAdminSocket(data: string): SocketPlace {
  const pointer = join(data, ADMIN_SOCKET_POINTER);
  forgetPointer(pointer);
  const path = resolve(data, ADMIN_SOCKET);
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return { path, forget: () => rmSync(path, { force: true }) };
  const short = join(mkdtempSync(join(tmpdir(), "roadstead-")), ADMIN_SOCKET);
  if (Buffer.byteLength(short) > SOCKET_PATH_BYTES_MAX) {
    rmdirSync(dirname(short));
    throw new NodeError(
      `neither ${path} nor ${short} fits a unix socket (${SOCKET_PATH_BYTES_MAX} bytes): give a shorter --data, or TMPDIR`,
    );
  }
  writeFileSync(pointer, `${short}\n`, { mode: 0o600 });
  return { path: short, forget: () => forgetPointer(pointer) };
}

/** A run that was killed left its folder behind. */
function forgetPointer(pointer: string): void {
  try {
    const socket = readFileSync(pointer, "utf8").trim();
    if (socket.endsWith(`/${ADMIN_SOCKET}`)) {
      rmSync(socket, { force: true });
      if (existsSync(dirname(socket))) rmdirSync(dirname(socket)); // never with what somebody else put there
    }
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
  rmSync(pointer, { force: true });
}
