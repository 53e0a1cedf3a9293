// Prints `PASSED FAILED` of a vitest JSON report; a test that did not run counts as failed.
import { readFileSync } from "node:fs";

const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
const tests = report.testResults.flatMap((file) => file.assertionResults);
const passed = tests.filter((test) => test.status === "passed").length;
const broken = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
for (const test of tests) if (test.status !== "passed") process.stderr.write(`ci: ${test.status}: ${test.fullName}\n`);
process.stdout.write(`${passed} ${tests.length - passed + broken}\n`);
