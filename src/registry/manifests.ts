import { pause } from "../core/clock.ts";
import { algorithmOf, type Digest, digestOf } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { Command, Outcome } from "../metadata/commands.ts";
import type { Edge } from "../metadata/records.ts";
import { type Context, within } from "./context.ts";
import { assertWritable } from "./freshness.ts";
import { type Described, type ParsedManifest, parseManifest, wrongSize } from "./manifest.ts";
import { assertAccepted, missingError } from "./outcomes.ts";
import { assertWithinQuota } from "./quota.ts";
import type { Caller, PutManifest } from "./registry.ts";

type PutCommand = Extract<Command, { type: "manifest.put" }>;

const RETRY_MS = 100;
/** Blobs spread at once for one manifest. */
const LANES = 4;

/** Parsed and checked here; whether it may stand is decided in `apply` alone (design.md, "The life of a push", 4). */
export async function putManifest(
  context: Context,
  caller: Caller,
  put: PutManifest,
  signal: AbortSignal,
): Promise<{ readonly digest: Digest; readonly subject: Digest | undefined; readonly tags: readonly Tag[] }> {
  const { repository, bytes, reference } = put;
  if (bytes.byteLength > context.limits.manifestBytes) throw tooLarge(bytes.byteLength, context.limits.manifestBytes);
  const digest = digestOf(bytes, reference.digest === undefined ? "sha256" : algorithmOf(reference.digest));
  if (reference.digest !== undefined && reference.digest !== digest) {
    throw new OciError("DIGEST_INVALID", "the manifest does not match the digest of the request", {
      digest: reference.digest,
      actual: digest,
    });
  }
  const parsed = parseManifest(put.mediaType, bytes);
  assertWritable(context.consensus);
  await context.assertLogRoom?.();
  const { catalog } = context.consensus;
  // what an index names by an odd media type is looked up, so the look must be fresh
  if (parsed.describes.some(({ kind }) => kind === "either")) await context.consensus.barrier(signal);
  if (!context.allowsSparse(repository)) await refuseMissing(context, repository, parsed.describes, signal);
  checkSizes(catalog, repository, parsed.describes);
  const tags = [...new Set(reference.tag === undefined ? put.tags : [reference.tag, ...put.tags])];
  const command = commandOf(put, parsed, digest, tags, edgesOf(catalog, repository, parsed.describes));
  const outcome = await proposePut(context, caller, command, signal);
  assertWithinQuota(context.consensus.catalog, repository, outcome);
  assertAccepted(outcome, "MANIFEST_UNKNOWN", { repository });
  return { digest, subject: parsed.subject, tags: put.tags };
}

function tooLarge(sizeBytes: number, limit: number): OciError {
  return new OciError("BODY_TOO_LARGE", `a manifest has at most ${limit} bytes`, { sizeBytes, limit });
}

/** What is missing here is looked for again after a barrier, and refused where it is still missing: thousands of names need not be an entry of every log for that. */
async function refuseMissing(
  { consensus }: Context,
  repository: RepositoryName,
  describes: readonly Described[],
  signal: AbortSignal,
): Promise<void> {
  const isMissing = (described: Described): boolean =>
    described.kind !== "foreign" && knownSize(consensus.catalog, repository, described) === undefined;
  if (!describes.some(isMissing) || (await consensus.barrier(signal)) !== "fresh") return;
  const missing = describes.find(isMissing);
  if (missing !== undefined) throw missingError({ repository, digest: missing.digest });
}

/** A record's size never changes, so this state is good enough to compare with; what is not here yet is for `apply` to refuse. */
function checkSizes(catalog: Catalog, repository: RepositoryName, describes: readonly Described[]): void {
  for (const described of describes) {
    const actual = knownSize(catalog, repository, described);
    if (actual !== undefined && actual !== described.sizeBytes) throw wrongSize(described, actual);
  }
}

/** Only of what the repository may see (G10). */
function knownSize(catalog: Catalog, repository: RepositoryName, { digest, kind }: Described): number | undefined {
  const manifest = kind === "manifest" || kind === "either" ? catalog.manifest(repository, digest) : undefined;
  if (manifest !== undefined || kind === "manifest") return manifest?.bytes.byteLength;
  return catalog.link(repository, digest) === undefined ? undefined : catalog.blob(digest)?.sizeBytes;
}

function edgesOf(catalog: Catalog, repository: RepositoryName, describes: readonly Described[]): readonly Edge[] {
  return describes.map(({ digest, kind }) => {
    if (kind !== "either") return { digest, kind };
    const isBlob = catalog.manifest(repository, digest) === undefined && catalog.link(repository, digest) !== undefined;
    return { digest, kind: isBlob ? "blob" : "manifest" };
  });
}

function commandOf(
  put: PutManifest,
  parsed: ParsedManifest,
  digest: Digest,
  tags: readonly Tag[],
  references: readonly Edge[],
): PutCommand {
  const { mediaType, subject, artifactType, annotations } = parsed;
  return {
    type: "manifest.put",
    repository: put.repository,
    digest,
    mediaType,
    bytes: put.bytes,
    tags,
    references,
    ...(artifactType === undefined ? {} : { artifactType }),
    // annotations are shown in a referrers answer only; without a subject they would be in the entry twice for nothing
    ...(subject === undefined ? {} : annotations === undefined ? { subject } : { subject, annotations }),
    ...(put.ifMatch === undefined ? {} : { ifMatch: put.ifMatch }),
    ...(put.ifNoneMatch === undefined ? {} : { ifNoneMatch: put.ifNoneMatch }),
  };
}

/** Blobs that are short of copies are spread at once and the put tried again, within `http.deadline`; a sparse image waives what is missing. */
async function proposePut(context: Context, caller: Caller, first: PutCommand, signal: AbortSignal): Promise<Outcome> {
  const { clock, consensus, limits } = context;
  const untilMs = clock.monotonicMs() + limits.deadlineMs;
  let command: PutCommand = context.allowsSparse(first.repository) ? waiveMissing(consensus.catalog, { ...first, sparse: true }) : first;
  for (;;) {
    const outcome = await propose(context, command, caller, signal);
    const { refused, digest } = outcome;
    const leftMs = untilMs - clock.monotonicMs();
    if (digest === undefined || leftMs <= 0) return outcome;
    if (refused === "missing" && command.sparse === true) {
      const waived = waive(command, (edge) => edge.digest === digest);
      if (waived === command) return outcome;
      command = waived;
    } else if (refused === "need") {
      await within(clock, leftMs, signal, (limited) => spreadShort(context, command, digest, limited));
    } else return outcome;
  }
}

/** All that are short as this node sees it, and the one that was refused: one refusal names one. */
async function spreadShort(
  { clock, consensus, spreader }: Context,
  command: PutCommand,
  refused: Digest,
  signal: AbortSignal,
): Promise<void> {
  const { catalog } = consensus;
  const isShort = ({ digest, kind }: Edge): boolean => {
    const record = kind === "blob" ? catalog.blob(digest) : undefined;
    return record?.state === "live" && catalog.holders(record).length < catalog.need();
  };
  const short = command.references.filter(isShort).map((edge) => edge.digest);
  // refused, and not short any more: another has spread it, or the membership is changing
  if (short.length === 0) await pause(clock, RETRY_MS, signal);
  const queue = [...new Set(short.length === 0 ? [refused] : short)];
  const lane = async (): Promise<void> => {
    for (let digest = queue.shift(); digest !== undefined; digest = queue.shift()) await spreader.spreadNow(digest, signal);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

async function propose({ consensus }: Context, command: PutCommand, { principal }: Caller, signal: AbortSignal): Promise<Outcome> {
  try {
    return await consensus.propose(command, { signal, principal });
  } catch (error) {
    // annotations of a subject's referrer and edges stand beside the bytes in the entry
    if (error instanceof RangeError)
      throw new OciError("BODY_TOO_LARGE", "the manifest with its annotations does not fit a log entry", {}, error);
    throw error;
  }
}

/** In a repository that allows sparse content, a blob that is not there is an edge like a foreign layer's: counted, and not asked for. */
function waiveMissing(catalog: Catalog, command: PutCommand): PutCommand {
  return waive(command, ({ digest }) => catalog.link(command.repository, digest) === undefined);
}

function waive(command: PutCommand, mayLack: (edge: Edge) => boolean): PutCommand {
  const isWaived = (edge: Edge): boolean => edge.kind === "blob" && mayLack(edge);
  if (!command.references.some(isWaived)) return command;
  return { ...command, references: command.references.map((edge) => (isWaived(edge) ? { ...edge, kind: "foreign" } : edge)) };
}
