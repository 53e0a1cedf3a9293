import { defineConfig } from "vitest/config";

/** Real clients against real processes: one at a time, each with minutes to spare. */
export default defineConfig({
  test: {
    include: ["test/clients/**/*.suite.ts"],
    pool: "forks",
    maxWorkers: 1,
    fileParallelism: false,
    maxConcurrency: 16, // clients that wait for an address that says nothing cost nothing
    testTimeout: 300_000,
    hookTimeout: 120_000,
  },
});
