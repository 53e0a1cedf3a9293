/** An error that belongs to the transcript: its text is the directive's answer. */
export class HarnessError extends Error {
  override readonly name = "HarnessError";
}
