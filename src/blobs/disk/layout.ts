import { join } from "node:path";
import { algorithmOf, type Digest, hexOf, parseDigest } from "../../core/digest.ts";
import type { Pin } from "../blob-store.ts";

const NAME_LENGTH_MAX = 255;
const HEX = /^[0-9a-f]+$/;
const SESSION = /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}$/;

/** Where what lies in the data folder. Fan-out by algorithm and the first two hex characters keeps folders small. */
export class Layout {
  readonly blobs: string;
  readonly pending: string;
  readonly uploads: string;
  readonly staging: string;
  readonly quarantine: string;

  constructor(root: string) {
    this.blobs = join(root, "blobs");
    this.pending = join(root, "pending");
    this.uploads = join(root, "uploads");
    this.staging = join(root, "staging");
    this.quarantine = join(root, "quarantine");
  }

  fanOut(digest: Digest): string {
    return join(this.blobs, algorithmOf(digest), hexOf(digest).slice(0, 2));
  }

  blob(digest: Digest): string {
    return join(this.fanOut(digest), hexOf(digest));
  }

  pieceList(digest: Digest): string {
    return `${this.blob(digest)}.pieces`;
  }

  /** `<algorithm>-<hex>.<commit id>`: a colon is no character for a file that backups and shells are to handle. */
  pin(pin: Pin): string {
    const name = `${flatName(pin.digest)}.${encodeURIComponent(pin.commitId)}`;
    if (name.length > NAME_LENGTH_MAX || pin.commitId === "") {
      throw new RangeError(`the commit id ${JSON.stringify(pin.commitId)} makes no file name: it takes 1 to 100 plain characters`);
    }
    return join(this.pending, name);
  }

  quarantined(digest: Digest, stamp: string): string {
    return join(this.quarantine, `${flatName(digest)}.${stamp}`);
  }

  /** Undefined where the id is no name that this node ever gave: it comes from a client's URL. */
  session(id: string): { readonly journal: string; readonly data: string } | undefined {
    if (!SESSION.test(id)) return undefined;
    return { journal: join(this.uploads, `${id}.session`), data: join(this.uploads, `${id}.data`) };
  }
}

function flatName(digest: Digest): string {
  return `${algorithmOf(digest)}-${hexOf(digest)}`;
}

/** The pin that a file in `pending/` stands for; undefined for a stranger. */
export function pinOfName(name: string): Pin | undefined {
  const dot = name.indexOf(".");
  const digest = parseDigest(name.slice(0, Math.max(0, dot)).replace("-", ":"));
  if (digest === undefined) return undefined;
  try {
    const commitId = decodeURIComponent(name.slice(dot + 1));
    return commitId === "" ? undefined : { digest, commitId };
  } catch {
    return undefined;
  }
}

/** The blob that a file in a fan-out folder is; undefined for piece lists and strangers. */
export function digestOfName(algorithm: string, name: string): Digest | undefined {
  return HEX.test(name) ? parseDigest(`${algorithm}:${name}`) : undefined;
}
