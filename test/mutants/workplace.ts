import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Bug, plant } from "./bug.ts";

const ROOT = join(import.meta.dirname, "../..");
/** What the simulator needs of the tree. */
const COPIED = ["src", "test/sim", "package.json", "tsconfig.json"];

/** A folder that bugs are planted in: the tree itself is never touched, and all copies are of one moment. */
export class Workplace {
  readonly #folder = mkdtempSync(join(tmpdir(), "roadstead-mutants-"));
  readonly #clean = join(this.#folder, "clean");

  constructor() {
    for (const path of COPIED) copy(join(ROOT, path), join(this.#clean, path));
    symlinkSync(join(ROOT, "node_modules"), join(this.#folder, "node_modules"));
  }

  /** The tree without a bug. */
  get clean(): string {
    return this.#clean;
  }

  /**
   * A copy with the bug in it.
   * @throws Error where the bug does not fit
   */
  with(bug: Bug): string {
    const folder = join(this.#folder, `bug-${bug.number}`);
    const planted = plant(bug, (file) => readFileSync(join(this.#clean, file), "utf8"));
    copy(this.#clean, folder);
    for (const [file, text] of planted) writeFileSync(join(folder, file), text);
    return folder;
  }

  remove(folder: string): void {
    rmSync(folder, { recursive: true, force: true });
  }

  close(): void {
    this.remove(this.#folder);
  }
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to, { recursive: true });
}
