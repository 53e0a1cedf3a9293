import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, isIPv4, type Socket } from "node:net";

/** Names and their records. */
export type Zone = Readonly<Record<string, Records>>;

export interface Records {
  /** Their family says of which kind each record is. */
  readonly addresses: readonly string[];
  /** Each answer begins with the record after the one that the last answer began with; else they stand in their order each time. */
  readonly rotates: boolean;
}

export interface DnsServer {
  readonly port: number;
  close(): Promise<void>;
}

interface Question {
  readonly name: string;
  readonly type: number;
  /** Where the question ends in the message. */
  readonly end: number;
}

const NONE: Records = { addresses: [], rotates: false };
const HEADER_BYTES = 12;
const UDP_BYTES = 512;
const TYPE_A = 1;
const TYPE_AAAA = 28;
const CLASS_IN = 1;
/** Response, authoritative, recursion desired and available. */
const ANSWERED = 0x8580;
const TRUNCATED = 0x0200;
const NAME_ERROR = 3;
const FORMAT_ERROR = 1;
/** The name of the question, by a pointer to it (RFC 1035, 4.1.4). */
const SAME_NAME = 0xc000 | HEADER_BYTES;

/** A name server over UDP and TCP that knows one zone of A and AAAA records, all with a life of 0 s (RFC 1035, RFC 3596). */
export async function serveDns(address: string, port: number, zone: Zone): Promise<DnsServer> {
  const turns = new Map<string, number>();
  const records = ({ name, type }: Question): readonly string[] => {
    const { addresses, rotates } = zone[name] ?? NONE;
    const all = addresses.filter((each) => (isIPv4(each) ? TYPE_A : TYPE_AAAA) === type);
    if (!rotates || all.length === 0) return all;
    const turn = turns.get(`${name} ${type}`) ?? 0;
    turns.set(`${name} ${type}`, (turn + 1) % all.length);
    return [...all.slice(turn), ...all.slice(0, turn)];
  };
  const answer = (query: Buffer, limitBytes: number): Buffer => {
    const question = parseQuestion(query);
    if (question === undefined) return head(query, FORMAT_ERROR, 0, undefined);
    if (zone[question.name] === undefined) return head(query, NAME_ERROR, 0, question);
    const found = records(question).map((each) => record(question.type, each));
    const whole = Buffer.concat([head(query, 0, found.length, question), ...found]);
    return whole.byteLength <= limitBytes ? whole : head(query, TRUNCATED, 0, question);
  };

  const tcp = createServer((socket) => answerStream(socket, (query) => answer(query, 0xffff)));
  tcp.listen(port, address);
  await once(tcp, "listening");
  const bound = (tcp.address() as { port: number }).port;
  const udp = createSocket(isIPv4(address) ? "udp4" : "udp6");
  udp.on("message", (query, from) => {
    if (query.byteLength >= HEADER_BYTES) udp.send(answer(query, UDP_BYTES), from.port, from.address);
  });
  udp.bind(bound, address);
  await once(udp, "listening");
  return {
    port: bound,
    async close() {
      await Promise.all([new Promise((closed) => tcp.close(closed)), new Promise<void>((closed) => udp.close(closed))]);
    },
  };
}

/** Each message over TCP has its length before it (RFC 1035, 4.2.2). */
function answerStream(socket: Socket, answer: (query: Buffer) => Buffer): void {
  let heard = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    heard = Buffer.concat([heard, chunk]);
    while (heard.byteLength >= 2 && heard.byteLength >= 2 + heard.readUInt16BE(0)) {
      const query = heard.subarray(2, 2 + heard.readUInt16BE(0));
      heard = heard.subarray(2 + query.byteLength);
      if (query.byteLength < HEADER_BYTES) return socket.destroy();
      const reply = answer(query);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.byteLength);
      socket.write(Buffer.concat([length, reply]));
    }
  });
}

/** @returns undefined where the message is no query of one name */
function parseQuestion(query: Buffer): Question | undefined {
  if ((query.readUInt16BE(2) & 0x8000) !== 0 || query.readUInt16BE(4) !== 1) return undefined;
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = query[at];
    if (length === undefined || length > 63) return undefined;
    at += 1;
    if (length === 0) break;
    labels.push(
      query
        .subarray(at, at + length)
        .toString("latin1")
        .toLowerCase(),
    );
    at += length;
  }
  if (at + 4 > query.byteLength) return undefined;
  return { name: labels.join("."), type: query.readUInt16BE(at), end: at + 4 };
}

/** Header and question of a reply. @param flags those besides `ANSWERED`, or the response code */
function head(query: Buffer, flags: number, answers: number, question: Question | undefined): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(ANSWERED | flags, 2);
  header.writeUInt16BE(question === undefined ? 0 : 1, 4);
  header.writeUInt16BE(answers, 6);
  return question === undefined ? header : Buffer.concat([header, query.subarray(HEADER_BYTES, question.end)]);
}

function record(type: number, address: string): Buffer {
  const data = type === TYPE_A ? Buffer.from(address.split(".").map(Number)) : ipv6Bytes(address);
  const fields = Buffer.alloc(12);
  fields.writeUInt16BE(SAME_NAME, 0);
  fields.writeUInt16BE(type, 2);
  fields.writeUInt16BE(CLASS_IN, 4);
  fields.writeUInt16BE(data.byteLength, 10);
  return Buffer.concat([fields, data]);
}

/** @param address with at most one `::`, and no dotted part */
function ipv6Bytes(address: string): Buffer {
  const [before = [], after = []] = address.split("::").map((side) => side.split(":").filter((group) => group !== ""));
  const groups = [...before, ...new Array<string>(8 - before.length - after.length).fill("0"), ...after];
  const bytes = Buffer.alloc(16);
  for (const [at, group] of groups.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * at);
  return bytes;
}
