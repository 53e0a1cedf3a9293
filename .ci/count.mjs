// Prints `PASSED FAILED` of a vitest JSON report; a test that did not run counts as failed.
import { readFileSync } from "node:fs";

const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
const tests = report.testResults.flatMap((file) => file.assertionResults);
const passed = tests.filter((test) => test.status === "passed").length;
const broken = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
for (const file of report.testResults) {
  if (file.status === "failed" && file.assertionResults.length === 0)
    process.stderr.write(`ci: did not load: ${file.name}: ${begin(file.message)}\n`);
  for (const test of file.assertionResults) {
    if (test.status !== "passed")
      process.stderr.write(`ci: ${test.status}: ${test.fullName}\n${begin(test.failureMessages?.join("\n"))}\n`);
  }
}
process.stdout.write(`${passed} ${tests.length - passed + broken}\n`);

/** The first lines of a failure's message, so that the end of the run tells what went wrong. */
function begin(message = "") {
  return message
    .split("\n")
    .slice(0, 12)
    .map((line) => `    ${line.slice(0, 300)}`)
    .join("\n");
}
