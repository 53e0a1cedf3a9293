/** What the person at the terminal can mend: one or more lines, no stack trace, exit code 1. */
export class Failure extends Error {
  override readonly name = "Failure";
}
