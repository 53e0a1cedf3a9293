import type { CutBody, UploadAppend } from "./uploads.ts";

/** @returns undefined where the next body cannot be told from the rest of this one: its length or digest is not known, or it says where it begins */
export function cutBody({ offset, sizeBytes, digest }: UploadAppend, start: number): CutBody | undefined {
  return offset !== undefined || sizeBytes === undefined || digest === undefined ? undefined : { digest, start, sizeBytes };
}
