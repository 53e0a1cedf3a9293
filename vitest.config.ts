import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    isolate: false, // what the files import is loaded once a worker, not once a file
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
