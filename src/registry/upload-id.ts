import { OciError } from "../core/errors.ts";
import { type PeerId, parsePeerId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";

const RANDOM_BYTES = 16;
const LOCAL = /^[0-9a-f]{32}$/;

export interface UploadId {
  /** The node that has the session. */
  readonly owner: PeerId;
  /** Its name there: 128 random bits. */
  readonly local: string;
}

export function newLocalId(random: Random): string {
  return Buffer.from(random.bytes(RANDOM_BYTES)).toString("hex");
}

export function formatUploadId({ owner, local }: UploadId): string {
  return `${owner}.${local}`;
}

/** @throws OciError BLOB_UPLOAD_UNKNOWN where it is none */
export function parseUploadId(text: string): UploadId {
  const dot = text.indexOf(".");
  const owner = dot < 0 ? undefined : parsePeerId(text.slice(0, dot));
  const local = text.slice(dot + 1);
  if (owner === undefined || !LOCAL.test(local)) throw unknownUpload(text);
  return { owner, local };
}

export function unknownUpload(id: string): OciError {
  return new OciError("BLOB_UPLOAD_UNKNOWN", "no such upload: it was finished, cancelled or has expired; begin again with POST", {
    id: id.slice(0, 200),
  });
}
