import { Command, InvalidArgumentError } from "commander";
import { callAdmin, type Door, doorOf, withDoor } from "./admin-client.ts";
import type { Terminal } from "./program.ts";
import { formatBytes, formatTimeLeft, renderTable } from "./table.ts";

const PROJECTS = "/_roadstead/v1/projects";
const REPOSITORIES = "/_roadstead/v1/repositories";
const TRASH = "/_roadstead/v1/trash";

interface DoorOptions {
  readonly data?: string;
  readonly server?: string;
  readonly json?: boolean;
}

export interface Project {
  readonly project: string;
  readonly immutableTags: readonly string[];
  readonly protectedRepositories: readonly string[];
  readonly quota: { readonly bytes?: number; readonly softBytes?: number; readonly repositories?: number };
  readonly usedBytes: number;
  readonly blobs: number;
  readonly repositories: number;
}

export interface TrashEntry {
  readonly digest: string;
  readonly bytes: number;
  readonly tags: readonly string[];
  readonly msLeft: number;
}

interface Deleted {
  readonly repositories: number;
  readonly manifests: number;
}

/** The commands for projects, repositories and the trash. */
export function contentCommands(terminal: Terminal): readonly Command[] {
  const say = (options: DoorOptions, value: unknown, text: string): void =>
    terminal.print(options.json === true ? `${JSON.stringify(value, undefined, 2)}\n` : text);
  const doorFor = (options: DoorOptions): Door => doorOf(options, terminal.environment);
  const list = withDoor(new Command("list").description("List the projects: what each uses and allows.")).action(
    async (options: DoorOptions) => {
      const { projects } = (await callAdmin(doorFor(options), "GET", PROJECTS)) as { projects: readonly Project[] };
      say(options, projects, renderProjects(projects));
    },
  );
  const removeProject = withDoor(new Command("delete").description("Put all that a project holds into the trash."))
    .argument("<project>")
    .action(async (project: string, options: DoorOptions) => {
      const deleted = (await callAdmin(doorFor(options), "POST", `${PROJECTS}/delete`, { project })) as Deleted;
      say(options, deleted, `${deleted.manifests} manifests of ${deleted.repositories} repositories are in the trash.\n`);
    });
  const removeRepository = withDoor(
    new Command("delete").description("Put all manifests of a repository, with their tags, into the trash."),
  )
    .argument("<repository>")
    .action(async (repository: string, options: DoorOptions) => {
      const deleted = (await callAdmin(doorFor(options), "POST", `${REPOSITORIES}/delete`, { repository })) as Deleted;
      say(options, deleted, `${deleted.manifests} manifests are in the trash: roadstead trash list ${repository}\n`);
    });
  const listTrash = withDoor(new Command("list").description("List what was deleted of a repository and can be taken back."))
    .argument("<repository>")
    .action(async (repository: string, options: DoorOptions) => {
      const entries = await readTrash(doorFor(options), repository);
      say(options, entries, renderTrash(entries));
    });
  const restore = withDoor(new Command("restore").description("Take a deleted manifest back, with its tags; without a digest all of them."))
    .argument("<repository>")
    .argument("[digest]")
    .action(async (repository: string, digest: string | undefined, options: DoorOptions) => {
      const door = doorFor(options);
      const digests = digest === undefined ? (await readTrash(door, repository)).map((entry) => entry.digest) : [digest];
      for (const one of digests) await callAdmin(door, "POST", `${TRASH}/restore`, { repository, digest: one });
      say(options, digests, `${digests.length} ${digests.length === 1 ? "manifest is" : "manifests are"} back in ${repository}.\n`);
    });
  return [
    new Command("project")
      .description("Projects: quotas, and what may not be changed or deleted.")
      .addCommand(list)
      .addCommand(setCommand(doorFor, say))
      .addCommand(removeProject),
    new Command("repository").description("Repositories as a whole.").addCommand(removeRepository),
    new Command("trash").description("What was deleted, until it is purged.").addCommand(listTrash).addCommand(restore),
  ];
}

function setCommand(doorFor: (options: DoorOptions) => Door, say: (options: DoorOptions, value: unknown, text: string) => void): Command {
  return withDoor(new Command("set").description("Change what a project allows; what is not named stays."))
    .argument("<project>")
    .option("--quota <bytes>", "bytes of blobs, each counted once, such as 10GiB; none for no limit", readLimit)
    .option("--soft-quota <bytes>", "`status` warns from here on", readLimit)
    .option("--repositories <n>", "repositories that hold a manifest; none for no limit", readCount)
    .option("--immutable <patterns>", 'tags that neither move nor go once they are there, such as "v*,release-*"; "" for none')
    .option("--protect <patterns>", 'repositories in which nothing is deleted, such as "team/prod*"; "" for none')
    .action(
      async (
        project: string,
        options: DoorOptions & {
          quota?: number | null;
          softQuota?: number | null;
          repositories?: number | null;
          immutable?: string;
          protect?: string;
        },
      ) => {
        const door = doorFor(options);
        const { projects } = (await callAdmin(door, "GET", PROJECTS)) as { projects: readonly Project[] };
        const old = projects.find((one) => one.project === project)?.quota ?? {};
        const given = { bytes: options.quota, softBytes: options.softQuota, repositories: options.repositories };
        const quota = { ...old, ...Object.fromEntries(Object.entries(given).filter(([, limit]) => limit !== undefined)) };
        const wish = {
          project,
          quota,
          ...(options.immutable === undefined ? {} : { immutableTags: patterns(options.immutable) }),
          ...(options.protect === undefined ? {} : { protectedRepositories: patterns(options.protect) }),
        };
        const changed = (await callAdmin(door, "POST", PROJECTS, wish)) as Project;
        say(options, changed, renderProjects([changed]));
      },
    );
}

async function readTrash(door: Door, repository: string): Promise<readonly TrashEntry[]> {
  const answer = await callAdmin(door, "GET", `${TRASH}?repository=${encodeURIComponent(repository)}`);
  return (answer as { manifests: readonly TrashEntry[] }).manifests;
}

function patterns(text: string): readonly string[] {
  return text.split(",").filter((pattern) => pattern !== "");
}

const UNITS: Readonly<Record<string, number>> = { "": 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

function readLimit(text: string): number | null {
  if (text === "none") return null;
  const [, count = "", unit = ""] = /^(\d{1,15})(KiB|MiB|GiB|TiB)?$/.exec(text) ?? [];
  const limit = Number(count) * (UNITS[unit] ?? Number.NaN);
  if (count === "" || !Number.isSafeInteger(limit)) throw new InvalidArgumentError('Expected bytes, such as 500MiB or 10GiB, or "none".');
  return limit;
}

function readCount(text: string): number | null {
  if (text === "none") return null;
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Expected a whole number, or "none".');
  return Number(text);
}

export function renderProjects(projects: readonly Project[]): string {
  const of = (used: string, limit: string | undefined): string => (limit === undefined ? used : `${used} of ${limit}`);
  const rows = projects.map(({ project, quota, usedBytes, repositories, immutableTags, protectedRepositories }) => [
    project,
    of(formatBytes(usedBytes), quota.bytes === undefined ? undefined : formatBytes(quota.bytes)),
    of(String(repositories), quota.repositories === undefined ? undefined : String(quota.repositories)),
    immutableTags.join(",") || "-",
    protectedRepositories.join(",") || "-",
  ]);
  return renderTable([["PROJECT", "USED", "REPOSITORIES", "IMMUTABLE TAGS", "PROTECTED"], ...rows]);
}

export function renderTrash(entries: readonly TrashEntry[]): string {
  if (entries.length === 0) return "Nothing of it is in the trash.\n";
  const rows = entries.map(({ digest, tags, bytes, msLeft }) => [
    digest,
    tags.join(",") || "-",
    formatBytes(bytes),
    formatTimeLeft(msLeft),
  ]);
  return renderTable([["DIGEST", "TAGS", "SIZE", "TIME LEFT"], ...rows]);
}
