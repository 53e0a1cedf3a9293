import { type Context, contextOf, type RegistryOptions } from "./context.ts";
import { deleteBlob, deleteManifest } from "./delete.ts";
import { listRepositories, listTags } from "./listings.ts";
import { putManifest } from "./manifests.ts";
import { mountBlob } from "./mount.ts";
import { Pull } from "./pull.ts";
import { listReferrers } from "./referrers.ts";
import type { Registry } from "./registry.ts";
import { UploadDesk } from "./uploads.ts";

/** The use cases over their ports. Takes the exchange's `onCall`: one registry an exchange. */
export function createRegistry(options: RegistryOptions): Registry {
  const context: Context = contextOf(options);
  const pull = new Pull(context);
  const desk = new UploadDesk(context);
  return {
    manifest: (_caller, repository, reference, signal) => pull.manifest(repository, reference, signal),
    headManifest: (_caller, repository, reference, signal) => pull.headManifest(repository, reference, signal),
    putManifest: (caller, put, signal) => putManifest(context, caller, put, signal),
    deleteManifest: (caller, repository, reference, signal) => deleteManifest(context, caller, repository, reference, signal),
    blob: (_caller, repository, digest, signal) => pull.blob(repository, digest, signal),
    headBlob: (_caller, repository, digest, signal) => pull.headBlob(repository, digest, signal),
    deleteBlob: (caller, repository, digest, signal) => deleteBlob(context, caller, repository, digest, signal),
    startUpload: (caller, repository, algorithm, signal) => desk.start(caller, repository, algorithm, signal),
    mountBlob: (caller, repository, digest, from, signal) => mountBlob(context, caller, repository, digest, from, signal),
    uploadProgress: (caller, repository, id, signal) => desk.progress(caller, repository, id, signal),
    appendUpload: (caller, chunk, signal) => desk.append(caller, chunk, signal),
    finishUpload: (caller, chunk, signal) => desk.finish(caller, chunk, signal),
    cancelUpload: (caller, repository, id, signal) => desk.cancel(caller, repository, id, signal),
    tags: (_caller, repository, page, signal) => listTags(context, repository, page, signal),
    repositories: (_caller, page, signal) => listRepositories(context, page, signal),
    referrers: (_caller, repository, subject, page, signal) => listReferrers(context, repository, subject, page, signal),
  };
}
