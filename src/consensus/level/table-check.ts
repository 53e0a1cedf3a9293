import { maskedCrc } from "./crc32c.ts";
import { unpackSnappy } from "./snappy.ts";
import { readVarint } from "./varint.ts";

// LevelDB's tables (doc/table_format.md): blocks, each followed by its compression (1 byte) and a masked CRC-32C over both; at the end a footer of
// 48 bytes: where the block of names and the index are, and a magic number.
const FOOTER_BYTES = 48;
const TRAILER_BYTES = 5;
const MAGIC = Buffer.from("57fb808b247547db", "hex");
const SNAPPY = 1;

interface Handle {
  readonly offset: number;
  readonly size: number;
}

/**
 * LevelDB checks no block when it reads one: an altered byte may change a value, hide a key, or (in the filter) a whole table's keys. So all are
 * checked before it opens them.
 * @returns what is wrong with the table, undefined where it is whole
 */
export function tableDamage(table: Buffer): string | undefined {
  const footer = table.subarray(Math.max(0, table.byteLength - FOOTER_BYTES));
  if (footer.byteLength < FOOTER_BYTES || !footer.subarray(-MAGIC.byteLength).equals(MAGIC)) return "its end is cut off or altered";
  const names = readHandle(footer, 0);
  const index = names === undefined ? undefined : readHandle(footer, names.end);
  if (names === undefined || index === undefined) return "its footer is altered";
  const blocks: Handle[] = [];
  for (const root of [names.handle, index.handle]) {
    const block = readBlock(table, root);
    const handles = block === undefined ? undefined : handlesOf(block);
    if (handles === undefined) return `the block at byte ${root.offset} is altered`;
    blocks.push(...handles);
  }
  for (const { offset, size } of blocks) {
    if (!isWhole(table, { offset, size })) return `the block at byte ${offset} is altered`;
  }
  // What lies in no block says nothing, but blocks leave no gaps: a footer that names too few of them would hide the others.
  const covered = [names.handle, index.handle, ...blocks].reduce((sum, { size }) => sum + size + TRAILER_BYTES, FOOTER_BYTES);
  return covered === table.byteLength ? undefined : "its blocks do not make up the whole of it";
}

function readHandle(bytes: Uint8Array, at: number): { readonly handle: Handle; readonly end: number } | undefined {
  const offset = readVarint(bytes, at);
  const size = offset === undefined ? undefined : readVarint(bytes, offset.end);
  return offset === undefined || size === undefined ? undefined : { handle: { offset: offset.value, size: size.value }, end: size.end };
}

function isWhole(table: Buffer, { offset, size }: Handle): boolean {
  const end = offset + size + 1;
  return end + 4 <= table.byteLength && table.readUInt32LE(end) === maskedCrc(table, offset, end);
}

function readBlock(table: Buffer, handle: Handle): Uint8Array | undefined {
  if (!isWhole(table, handle)) return undefined;
  const bytes = table.subarray(handle.offset, handle.offset + handle.size);
  return table[handle.offset + handle.size] === SNAPPY ? unpackSnappy(bytes) : bytes;
}

/** The values of a block whose values are handles: its entries are shared, unshared and value lengths, key, value; restarts follow. */
function handlesOf(block: Uint8Array): Handle[] | undefined {
  const view = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  if (view.byteLength < 4) return undefined;
  const end = view.byteLength - 4 - 4 * view.readUInt32LE(view.byteLength - 4);
  const handles: Handle[] = [];
  for (let at = 0; at < end; ) {
    const shared = readVarint(view, at);
    const unshared = shared && readVarint(view, shared.end);
    const valueBytes = unshared && readVarint(view, unshared.end);
    if (unshared === undefined || valueBytes === undefined) return undefined;
    const valueAt = valueBytes.end + unshared.value;
    const found = readHandle(view, valueAt);
    if (found === undefined) return undefined;
    handles.push(found.handle);
    at = valueAt + valueBytes.value;
  }
  return handles;
}
