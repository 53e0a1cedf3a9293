import { parseDigest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import { parseRepositoryName, projectOf, type RepositoryName } from "../core/reference.ts";
import type { Admin, Deleted, ProjectRules, ProjectStatus, TrashEntry } from "../http/admin.ts";
import type { Outcome } from "../metadata/commands.ts";
import type { ProjectRecord } from "../metadata/records.ts";
import type { AdminOptions } from "./admin.ts";

const PAGE = 256;
const PROJECTS_MAX = 1_000;
const TRASH_MAX = 1_000;

/** What an administrator does with projects, repositories and what was deleted of them. */
export function createContentAdmin(
  options: AdminOptions,
): Pick<Admin, "projects" | "setProject" | "deleteRepository" | "deleteProject" | "trash" | "restore"> {
  return {
    projects: async () => (await fresh(options)).projects("", PROJECTS_MAX).then((projects) => projects.map(statusOf)),
    setProject: (project, rules) => setProject(options, project, rules),
    deleteRepository: (repository) => deleteRepository(options, repositoryOf(repository)),
    deleteProject: (project) => deleteProject(options, project),
    trash: (repository) => trash(options, repositoryOf(repository)),
    restore: (repository, digest) => restore(options, repositoryOf(repository), digest),
  };
}

async function fresh({ consensus }: AdminOptions): Promise<AdminOptions["consensus"]["catalog"]> {
  if ((await consensus.barrier()) === "fresh") return consensus.catalog;
  throw new OciError("UNAVAILABLE", "this node has no contact with a majority: ask another one, or bring the others back");
}

function repositoryOf(text: string): RepositoryName {
  const repository = parseRepositoryName(text);
  if (repository === undefined) throw new OciError("NAME_INVALID", `${JSON.stringify(text)} is no name of a repository`);
  return repository;
}

function statusOf({ project, rules, usage }: ProjectRecord): ProjectStatus {
  return { project, ...rules, usedBytes: usage.sizeBytes, blobs: usage.blobs, repositories: usage.repositories };
}

async function setProject(options: AdminOptions, project: string, changed: Partial<ProjectRules>): Promise<ProjectStatus> {
  const name = parseRepositoryName(project);
  if (name === undefined || projectOf(name) !== name) {
    throw new OciError(
      "NAME_INVALID",
      `${JSON.stringify(project)} is no name of a project: it is the first segment of a repository's name`,
    );
  }
  const { rules } = (await fresh(options)).project(project);
  const { consensus } = options;
  const { refused } = await consensus.propose({ type: "project.set", project, rules: { ...rules, ...changed } });
  if (refused !== undefined) throw new OciError("UNAVAILABLE", `the project was not changed (${refused}): try again`);
  return statusOf(consensus.catalog.project(project));
}

async function deleteProject(options: AdminOptions, project: string): Promise<Deleted> {
  const catalog = await fresh(options);
  let deleted: Deleted = { repositories: 0, manifests: 0 };
  const first = parseRepositoryName(project);
  // `team` itself is a repository of the project; all others begin with `team/`
  const own = first !== undefined && (await catalog.manifests(first, "", 1)).length > 0 ? [first] : [];
  for (let after = `${project}/`, names = own; ; ) {
    for (const repository of names) {
      const { manifests } = await deleteRepository(options, repository);
      deleted = { repositories: deleted.repositories + 1, manifests: deleted.manifests + manifests };
    }
    const page = await catalog.repositories(after, PAGE);
    names = page.filter((repository) => projectOf(repository) === project);
    const last = names.at(-1);
    if (last === undefined) break;
    after = last;
  }
  if (deleted.repositories === 0) throw new OciError("NAME_UNKNOWN", `no repository of the project ${project} holds a manifest`);
  return deleted;
}

async function deleteRepository(options: AdminOptions, repository: RepositoryName): Promise<Deleted> {
  const catalog = await fresh(options);
  let manifests = 0;
  for (let after = ""; ; ) {
    const page = await catalog.manifests(repository, after, PAGE);
    for (const digest of page) {
      const outcome = await options.consensus.propose({ type: "manifest.delete", repository, digest });
      assertDeleted(outcome, repository, digest);
      manifests += 1;
    }
    const last = page.at(-1);
    if (last === undefined) break;
    after = last;
  }
  if (manifests === 0) throw new OciError("NAME_UNKNOWN", `the repository ${repository} holds no manifest`);
  return { repositories: 1, manifests };
}

function assertDeleted({ refused }: Outcome, repository: RepositoryName, digest: string): void {
  switch (refused) {
    case undefined:
    case "unknown": // it went in the meantime
      return;
    case "immutable":
      throw new OciError(
        "DENIED",
        `${digest} in ${repository} has a tag that is immutable by a rule of its project: change the rule first`,
      );
    case "protected":
      throw new OciError("DENIED", `${repository} is protected by a rule of its project: change the rule first`);
    default:
      throw new OciError("UNAVAILABLE", `${digest} in ${repository} was not deleted (${refused}): try again`);
  }
}

async function trash(options: AdminOptions, repository: RepositoryName): Promise<readonly TrashEntry[]> {
  const catalog = await fresh(options);
  const time = catalog.time();
  return (await catalog.trash(repository, "", TRASH_MAX)).map(({ digest, mediaType, sizeBytes, tags, purgeAfter }) => ({
    digest,
    mediaType,
    bytes: sizeBytes,
    tags,
    msLeft: Math.max(0, purgeAfter - time),
  }));
}

async function restore({ consensus }: AdminOptions, repository: RepositoryName, text: string): Promise<void> {
  const digest = parseDigest(text);
  if (digest === undefined) throw new OciError("DIGEST_INVALID", `${JSON.stringify(text)} is no digest`);
  const { refused } = await consensus.propose({ type: "manifest.undelete", repository, digest });
  switch (refused) {
    case undefined:
      return;
    case "unknown":
      throw new OciError(
        "MANIFEST_UNKNOWN",
        `${digest} is not in the trash of ${repository}: \`roadstead trash list ${repository}\` shows what is`,
      );
    case "precondition":
      throw new OciError(
        "CONFLICT",
        `a tag that ${digest} had names another manifest by now: delete that tag, or tag this one anew by pushing it`,
      );
    default:
      throw new OciError("UNAVAILABLE", `${digest} was not taken back (${refused}): try again`);
  }
}
