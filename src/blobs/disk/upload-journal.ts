import { type Digest, type DigestAlgorithm, parseDigest } from "../../core/digest.ts";
import { parseRepositoryName, type RepositoryName } from "../../core/reference.ts";
import type { CutBody, UploadBinding } from "../uploads.ts";
import type { FileSystem, OpenFile } from "./file-system.ts";

/**
 * A session's journal, `<id>.session`: its binding, then a line for each durable offset, the last one with the digest. A line counts once its newline is there, so
 * one that was torn by a crash is as if it had never been.
 */
export interface JournalState {
  readonly binding: UploadBinding;
  readonly offset: number;
  readonly digest: Digest | undefined;
  readonly cut?: CutBody | undefined;
  /** Where the next line goes: behind the last whole one. */
  readonly length: number;
}

interface Line {
  readonly offset: number;
  readonly digest?: Digest;
  readonly cut?: CutBody | undefined;
}

/** Not yet durable: nothing was promised of the session but its name. The first line that follows makes both durable. */
export async function createJournal(fs: FileSystem, path: string, binding: UploadBinding): Promise<number> {
  const { repository, principal, algorithm } = binding;
  const bytes = Buffer.from(`${JSON.stringify({ repository, principal, algorithm })}\n`);
  await withFile(fs, path, "wx", (file) => file.write(bytes, 0));
  return bytes.byteLength;
}

/** Durable on return. Answers the journal's new length. */
export async function writeLine(fs: FileSystem, path: string, length: number, line: Line): Promise<number> {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  await withFile(fs, path, "r+", async (file) => {
    await file.write(bytes, length);
    await file.datasync();
  });
  return length + bytes.byteLength;
}

/** Undefined where the file is no journal (a crash has torn its first line). @throws ENOENT */
export async function readJournal(fs: FileSystem, path: string): Promise<JournalState | undefined> {
  const text = await withFile(fs, path, "r", async (file) => {
    const bytes = Buffer.alloc((await file.stat()).sizeBytes);
    let done = 0;
    for (let count = -1; count !== 0 && done < bytes.byteLength; done += count) count = await file.read(bytes.subarray(done), done);
    return bytes.subarray(0, done).toString();
  });
  const lines = text.split("\n").slice(0, -1);
  const binding = bindingOf(fieldsOf(lines[0]));
  if (binding === undefined) return undefined;
  let length = Buffer.byteLength(`${lines[0]}\n`);
  let offset = 0;
  let digest: Digest | undefined;
  let cut: CutBody | undefined;
  for (const line of lines.slice(1)) {
    const fields = fieldsOf(line);
    if (typeof fields?.offset !== "number") break;
    offset = fields.offset;
    if (typeof fields.digest === "string") digest = parseDigest(fields.digest);
    cut = cutOf(fields.cut) ?? cut;
    length += Buffer.byteLength(`${line}\n`);
  }
  return { binding, offset, digest, cut, length };
}

async function withFile<T>(fs: FileSystem, path: string, flags: "r" | "r+" | "wx", use: (file: OpenFile) => Promise<T>): Promise<T> {
  const file = await fs.open(path, flags);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

function fieldsOf(line: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line ?? "");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function cutOf(value: unknown): CutBody | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { digest: text, start, sizeBytes } = value as Record<string, unknown>;
  const digest = typeof text === "string" ? parseDigest(text) : undefined;
  return digest === undefined || typeof start !== "number" || typeof sizeBytes !== "number" ? undefined : { digest, start, sizeBytes };
}

function bindingOf(fields: Record<string, unknown> | undefined): UploadBinding | undefined {
  const repository: RepositoryName | undefined =
    typeof fields?.repository === "string" ? parseRepositoryName(fields.repository) : undefined;
  const algorithm: DigestAlgorithm | undefined =
    fields?.algorithm === "sha256" || fields?.algorithm === "sha512" ? fields.algorithm : undefined;
  if (repository === undefined || algorithm === undefined || typeof fields?.principal !== "string") return undefined;
  return { repository, principal: fields.principal, algorithm };
}
